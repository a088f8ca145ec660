-- Frames that are to be looked at for stars: those of a field, camera, band and night that were never
-- searched, or with other frames, masters or settings. One row per frame.
-- requires: search_frame
-- column search_id: table search; null: never searched
create or replace view pending_search as
select
    search.search_id,
    search_frame.*
from search_frame
left join search on
    search.field_id = search_frame.field_id
    and search.camera_id = search_frame.camera_id
    and search.band is not distinct from search_frame.band
    and search.night is not distinct from search_frame.night
    and search.stack_id is null
where search.recipe is distinct from search_frame.recipe;
