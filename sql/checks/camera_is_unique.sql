-- No two rows of camera share camera_id.
select camera_id
from camera
group by camera_id
having count(*) > 1;
