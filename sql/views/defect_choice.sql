-- The map of defects for a light frame: of the same camera, binning, settings and read-out
-- mode, of the same part of the sensor or one that holds it, from the nearest night, never a retired
-- one. One row per light frame that has one.
-- column master_id: table master, kind badpixel
create or replace view defect_choice as
with rule as (
    select max("value") filter (setting_name = 'masters.max_days')::double as max_days
    from setting
),

library as (
    select
        master.*,
        master_file.trim
    from master
    left join master_file using (master_id)
    anti join retired_master using (master_id)
)

select
    frame.frame_id,
    first(
        master.master_id order by abs(master.night - frame.night), master.night, master.master_id
    ) as master_id
from frame
cross join rule
join library as master on
    master.kind = 'badpixel'
    and master.camera_id = frame.camera_id
    and master.x_binning is not distinct from frame.x_binning
    and master.y_binning is not distinct from frame.y_binning
    and lies_within(
        frame.x_first_pix, frame.n_x_pix, master.x_first_pix, master.n_x_pix, master.trim
    )
    and lies_within(
        frame.y_first_pix, frame.n_y_pix, master.y_first_pix, master.n_y_pix, master.trim
    )
    and master.gain_setting is not distinct from frame.gain_setting
    and master.offset_setting is not distinct from frame.offset_setting
    and master.readout_mode is not distinct from frame.readout_mode
    and abs(master.night - frame.night) <= rule.max_days
where frame.frame_type = 'light'
group by frame.frame_id;
