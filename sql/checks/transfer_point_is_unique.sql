-- In a night, or a ramp that began there, a pair of flats has one point at a level.
select
    night,
    first_frame_id,
    second_frame_id,
    level_adu,
from transfer_point
group by night, first_frame_id, second_frame_id, level_adu
having count(*) > 1;
