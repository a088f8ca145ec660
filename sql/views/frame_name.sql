-- The name by which a frame is called: of the first path it was seen under, without its folder.
-- One row per frame.
-- column file_name: name of the file
create or replace view frame_name as
select
    frame_id,
    parse_filename(min(path)) as file_name
from path
group by frame_id;
