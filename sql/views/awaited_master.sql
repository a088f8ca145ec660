-- Masters that frames wait for: chosen for lights to be measured or for frames to be combined.
-- One row per master.
-- requires: calibration_choice
-- requires: defect_choice
-- requires: pending_master
-- requires: pending_photometry
create or replace view awaited_master as
with waiting as (
    select frame_id from pending_photometry
    union
    select frame_id from pending_master
),

chosen as (
    select unnest([bias_master_id, dark_master_id, flat_master_id]) as master_id
    from calibration_choice
    semi join waiting using (frame_id)
    union
    select defect_choice.master_id
    from defect_choice
    semi join waiting using (frame_id)
)

select distinct master_id
from chosen
where master_id is not null;
