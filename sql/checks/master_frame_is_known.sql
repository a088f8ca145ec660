-- Masters were made from known frames, at least one.
select master_id
from master_frame
anti join frame using (frame_id)
union all
select master_id
from master
anti join (select * from master_frame where is_used) as used using (master_id);
