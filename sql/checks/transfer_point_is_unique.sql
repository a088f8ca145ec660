-- A pair of flats has one point of the photon transfer curve at a level.
select
    first_frame_id,
    second_frame_id,
    level_adu,
from transfer_point
group by first_frame_id, second_frame_id, level_adu
having count(*) > 1;
