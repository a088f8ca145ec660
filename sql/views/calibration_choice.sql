-- The best masters for a frame, by rule: same camera, binning, size, gain and offset setting and
-- read-out mode; never another telescope's. Bias: nearest night. Dark: same exposure (within 2 %)
-- before any other (which must be scalable), nearest temperature (unknown ones last), exposure,
-- night. Flat: same band, nearest night. Limits come from table setting. One row per frame of a
-- known type.
-- column bias_master_id: table master; null: none matched, or none needed
-- column dark_master_id: table master; null: none matched, or none needed
-- column flat_master_id: table master; null: none matched, or none needed
-- column dark_scale: exposure of the frame over that of the dark; null: not scaled
-- column reason: in words what would be used, what is missing and why
create or replace view calibration_choice as
with rule as (
    select
        max("value") filter (setting_name = 'masters.max_days')::double as max_days,
        max("value") filter (setting_name = 'masters.max_dark_kelvin')::double as max_kelvin,
        max("value") filter (setting_name = 'masters.scale_darks')::boolean as scale_darks
    from setting
),

matched as (
    select
        frame.frame_id,
        frame.frame_type,
        master.master_id,
        master.kind,
        master.night,
        master.exposure_s,
        master.is_bias_subtracted,
        abs(master.night - frame.night) as days,
        frame.sensor_degc - master.sensor_degc as kelvin,
        case
            when frame.exposure_s > 0 and master.exposure_s > 0
                then frame.exposure_s / master.exposure_s
        end as exposure_ratio
    from frame
    join master on
        master.camera_id = frame.camera_id
        and master.x_binning is not distinct from frame.x_binning
        and master.y_binning is not distinct from frame.y_binning
        and master.n_x_pix = frame.n_x_pix
        and master.n_y_pix = frame.n_y_pix
        and master.gain_setting is not distinct from frame.gain_setting
        and master.offset_setting is not distinct from frame.offset_setting
        and master.readout_mode is not distinct from frame.readout_mode
        and (master.kind <> 'flat' or master.band is not distinct from frame.band)
    where frame.frame_type is not null
),

candidate as (
    select
        matched.*,
        -- null without exposure times: such a dark fits nothing
        case when exposure_ratio > 0 then abs(ln(exposure_ratio)) end as stretch
    from matched
    cross join rule
    where days <= rule.max_days
),

bias as (
    select
        frame_id,
        first(candidate order by days, night, master_id) as pick
    from candidate
    where kind = 'bias' and frame_type <> 'bias'
    group by frame_id
),

dark as (
    select
        frame_id,
        first(
            candidate order by
                stretch >= 0.02,
                kelvin is null,
                round(abs(kelvin)),
                round(stretch, 2),
                days, night, master_id
        ) as pick
    from candidate
    cross join rule
    where
        kind = 'dark'
        and frame_type in ('light', 'flat')
        and abs(coalesce(kelvin, 0)) <= rule.max_kelvin
        and (stretch < 0.02 or (stretch >= 0.02 and rule.scale_darks and is_bias_subtracted))
    group by frame_id
),

flat as (
    select
        frame_id,
        first(candidate order by days, night, master_id) as pick
    from candidate
    where kind = 'flat' and frame_type = 'light'
    group by frame_id
)

select
    frame.frame_id,
    bias.pick.master_id as bias_master_id,
    dark.pick.master_id as dark_master_id,
    flat.pick.master_id as flat_master_id,
    case when dark.pick.stretch >= 0.02 then dark.pick.exposure_ratio end as dark_scale,
    dark.pick.days::double as dark_days,
    dark.pick.kelvin as dark_kelvin,
    flat.pick.days::double as flat_days,
    concat_ws(
        '; ',
        case
            when frame.frame_type = 'bias' then null
            when bias.pick.master_id is null then 'no bias of this camera and setting'
            when bias.pick.days > 0 then printf('bias of %d nights away', bias.pick.days)
        end,
        case
            when frame.frame_type not in ('light', 'flat') then null
            when dark.pick.master_id is null then 'no dark of this camera, setting and temperature'
            when dark.pick.stretch >= 0.02
                then printf('dark of %g s scaled', dark.pick.exposure_s)
            when dark.pick.days > 0 then printf('dark of %d nights away', dark.pick.days)
        end,
        case
            when frame.frame_type <> 'light' then null
            when flat.pick.master_id is null then 'no flat of this camera and band'
            when flat.pick.days > 0 then printf('flat of %d nights away', flat.pick.days)
        end
    ) as reason
from frame
left join bias using (frame_id)
left join dark using (frame_id)
left join flat using (frame_id)
where frame.frame_type is not null;
