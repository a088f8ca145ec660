-- What became of each frame. One row per frame.
-- column state: measured, failed, pending, calibration, in a master, unknown type
create or replace view frame_state as
select
    frame.frame_id,
    frame.night,
    frame.frame_type,
    frame.band,
    case
        when frame.frame_type is null then 'unknown type'
        when frame.frame_type <> 'light' and master_frame.frame_id is not null then 'in a master'
        when frame.frame_type <> 'light' then 'calibration'
        when photometry.state = 'done' then 'measured'
        when photometry.state = 'failed' or reference.state = 'failed' then 'failed'
        else 'pending'
    end as state
from frame
left join product as photometry
    on photometry.frame_id = frame.frame_id and photometry.step = 'photometry'
left join product as reference
    on reference.frame_id = frame.frame_id and reference.step = 'reference'
left join (select distinct frame_id from master_frame where is_used) as master_frame
    on master_frame.frame_id = frame.frame_id;
