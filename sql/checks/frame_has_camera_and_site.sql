-- Every frame comes from a known camera and, where it names one, a known site.
select frame_id
from frame
anti join camera using (camera_id)
union all
select frame_id
from frame
anti join site using (site_id)
where site_id is not null;
