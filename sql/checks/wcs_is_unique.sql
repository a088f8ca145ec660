-- No two rows of wcs share frame_id.
select frame_id
from wcs
group by frame_id
having count(*) > 1;
