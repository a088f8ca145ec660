-- Which light frame was calibrated with which master. One row per measured light frame and master.
create or replace view master_use as
with used as (
    select
        frame_id,
        unnest([bias_master_id, dark_master_id, flat_master_id]) as master_id
    from calibration
    union all
    select
        frame_id,
        master_id
    from defect_use
)

select
    frame_id,
    master_id
from used
where master_id is not null;
