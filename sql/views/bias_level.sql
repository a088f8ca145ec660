-- Level of the biases of a camera, night by night. One row per camera and night that has some.
-- column bias_adu: unit=adu; median of their levels
create or replace view bias_level as
select
    frame.camera_id,
    frame.night,
    median(frame_level.level_adu) as bias_adu
from frame
join frame_level using (frame_id)
where frame.frame_type = 'bias' and frame.night is not null
group by all;
