-- Masters were made from known frames, at least one, or elsewhere; maps of defects from masters.
select master_id
from master_frame
anti join frame using (frame_id)
union all
select master_id
from master
anti join (select * from master_frame where is_used) as used using (master_id)
anti join imported_master using (master_id)
where master.kind <> 'badpixel';
