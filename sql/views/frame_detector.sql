-- What is in force for a frame of how its camera behaves at high levels, and where it comes from:
-- saturation and linearity as configured, else as the ramp of the nearest night within
-- masters.max_days found them. Of ramps, one that corrects comes before one that only flags.
-- Where neither tells the saturation, the pixels of each frame do, if they can.
-- One row per frame.
-- column saturation_source: configuration, ramp; null: each frame's own pixels
-- column linearity_adu: unit=adu; raw level from which pixels are flagged as non-linear; null: none
-- column linearity_source: configuration, ramp; null: nothing is corrected or flagged
-- column linearity_night: night of that ramp
-- column factors: level above the bias and factor to correct it by; null: nothing is corrected
-- column ramp_recipe: fingerprint of what ramps say; null where they say nothing
create or replace view frame_detector as
with rule as (
    select max("value") filter (setting_name = 'masters.max_days')::double as max_days
    from setting
),

correction as (
    select
        camera_id,
        night,
        band,
        gain_setting,
        x_binning,
        readout_mode,
        list({'level_adu': level_adu, 'factor': factor} order by level_adu) as factors
    from linearity_point
    group by all
),

ramp as (
    select
        ramp_fit.*,
        case when ramp_fit.is_linearity_correctable then correction.factors end as factors
    from ramp_fit
    left join correction on
        correction.camera_id = ramp_fit.camera_id
        and correction.night = ramp_fit.night
        and correction.band is not distinct from ramp_fit.band
        and correction.gain_setting is not distinct from ramp_fit.gain_setting
        and correction.x_binning is not distinct from ramp_fit.x_binning
        and correction.readout_mode is not distinct from ramp_fit.readout_mode
),

near as (
    select
        frame.frame_id,
        first(ramp order by abs(ramp.night - frame.night), ramp.night, ramp.band) filter (
            ramp.saturation_adu is not null
        ) as well,
        first(
            ramp order by
                ramp.factors is null, abs(ramp.night - frame.night), ramp.night, ramp.band
        ) filter (ramp.linearity is not null) as line
    from frame
    cross join rule
    join ramp on
        ramp.camera_id = frame.camera_id
        and ramp.gain_setting is not distinct from frame.gain_setting
        and ramp.x_binning is not distinct from frame.x_binning
        and ramp.readout_mode is not distinct from frame.readout_mode
        and abs(ramp.night - frame.night) <= rule.max_days
    group by frame.frame_id
)

select
    frame.frame_id,
    coalesce(camera.saturation_adu, near.well.saturation_adu) as saturation_adu,
    case
        when camera.saturation_adu is not null then 'configuration'
        when near.well.saturation_adu is not null then 'ramp'
    end as saturation_source,
    coalesce(
        camera.linearity_adu,
        case when near.line.factors is null then near.line.nonlinear_adu end
    ) as linearity_adu,
    near.line.factors as factors,
    case
        when camera.linearity_adu is not null then 'configuration'
        when near.line.factors is not null or near.line.nonlinear_adu is not null then 'ramp'
    end as linearity_source,
    case when linearity_source = 'ramp' then near.line.night end as linearity_night,
    nullif(
        concat_ws(
            ' ',
            case when saturation_source = 'ramp' then printf('%.1f', near.well.saturation_adu) end,
            case when linearity_source = 'ramp' then printf('%.1f', near.line.nonlinear_adu) end,
            md5(near.line.factors::varchar)[:8]
        ),
        ''
    ) as ramp_recipe
from frame
join camera using (camera_id)
left join near using (frame_id);
