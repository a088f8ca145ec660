-- Searches of frames that are in their field no more, or no lights any more. One row per search.
-- requires: search_frame
create or replace view stale_search as
select search.*
from search
left join search_frame on
    search.field_id = search_frame.field_id
    and search.camera_id = search_frame.camera_id
    and search.band is not distinct from search_frame.band
    and search.night is not distinct from search_frame.night
where search_frame.frame_id is null and search.stack_id is null;
