-- A frame is offered once to a master.
select
    master_id,
    frame_id,
from master_frame
group by master_id, frame_id
having count(*) > 1;
