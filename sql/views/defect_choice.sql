-- The map of defects for a light frame: of the same camera, binning, size, settings and read-out
-- mode, from the nearest night, never a retired one. One row per light frame that has one.
-- column master_id: table master, kind badpixel
create or replace view defect_choice as
with rule as (
    select max("value") filter (setting_name = 'masters.max_days')::double as max_days
    from setting
)

select
    frame.frame_id,
    first(
        master.master_id order by abs(master.night - frame.night), master.night, master.master_id
    ) as master_id
from frame
cross join rule
join master on
    master.kind = 'badpixel'
    and master.camera_id = frame.camera_id
    and master.x_binning is not distinct from frame.x_binning
    and master.y_binning is not distinct from frame.y_binning
    and master.n_x_pix = frame.n_x_pix
    and master.n_y_pix = frame.n_y_pix
    and master.gain_setting is not distinct from frame.gain_setting
    and master.offset_setting is not distinct from frame.offset_setting
    and master.readout_mode is not distinct from frame.readout_mode
    and abs(master.night - frame.night) <= rule.max_days
anti join retired_master as retired on retired.master_id = master.master_id
where frame.frame_type = 'light'
group by frame.frame_id;
