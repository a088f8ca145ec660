-- The best masters for a frame, by rule: same camera, binning, size, gain and offset setting and
-- read-out mode; never another telescope's. Bias: nearest night. Dark: same exposure before any
-- other (which must be scalable), nearest temperature, exposure, night. Flat: same band, nearest
-- night. Limits come from the configuration. One row per frame of a known type.
create or replace view calibration_choice as
with rule as (
    select
        max("value") filter (setting_name = 'masters.max_days')::double as max_days,
        max("value") filter (setting_name = 'masters.max_dark_kelvin')::double as max_kelvin,
        max("value") filter (setting_name = 'masters.scale_darks') = 'true' as scale_darks
    from setting
),

candidate as (
    select
        frame.frame_id,
        frame.frame_type,
        master.*,
        abs(master.night - frame.night) as days,
        frame.sensor_degc - master.sensor_degc as kelvin,
        frame.exposure_s / nullif(master.exposure_s, 0) as exposure_ratio,
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
    cross join rule
    where
        frame.frame_type is not null
        and abs(master.night - frame.night) <= rule.max_days
        and (
            master.kind <> 'dark'
            or (
                abs(coalesce(frame.sensor_degc - master.sensor_degc, 0)) <= rule.max_kelvin
                and (
                    abs(ln(frame.exposure_s / nullif(master.exposure_s, 0))) < 0.02
                    or (rule.scale_darks and master.is_bias_subtracted)
                )
            )
        )
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
                abs(ln(exposure_ratio)) >= 0.02,
                round(abs(coalesce(kelvin, 0))),
                round(abs(ln(exposure_ratio)), 2),
                days, night, master_id
        ) as pick
    from candidate
    where kind = 'dark' and frame_type not in ('bias', 'dark')
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
    case
        when abs(ln(dark.pick.exposure_ratio)) >= 0.02 then dark.pick.exposure_ratio
    end as dark_scale,
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
            when frame.frame_type in ('bias', 'dark') then null
            when dark.pick.master_id is null then 'no dark of this camera, setting and temperature'
            when abs(ln(dark.pick.exposure_ratio)) >= 0.02
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
