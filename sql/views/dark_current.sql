-- Dark current of cameras: the rise of the master darks of a night and temperature with exposure
-- through several exposures, else level over exposure of the one, which counts only without its
-- bias. Darks with and without their bias are not mixed, and none that was retired counts.
-- One row per camera, setting, night, temperature.
-- column camera_name: INSTRUME, or 'unknown camera'
-- column temperature_degc: unit=deg_C; sensor, to the degree; null if unknown
-- column n_exposure: exposures behind it
-- column longest_s: unit=s; longest exposure
-- column dark_adu_rate: dark current of the median pixel; unit=adu/s
-- column dark_e_rate: dark current of the median pixel; unit=electron/s; null without a gain
create or replace view dark_current as
with dark as (
    select
        master.*,
        round(master.sensor_degc) as temperature_degc
    from master
    anti join retired_master using (master_id)
    where master.kind = 'dark' and master.exposure_s > 0
    qualify
        master.is_bias_subtracted
        or not bool_or(master.is_bias_subtracted) over (
            partition by
                master.camera_id, master.night, master.gain_setting, master.x_binning,
                master.readout_mode, temperature_degc
        )
),

rate as (
    select
        camera_id,
        night,
        gain_setting,
        x_binning,
        readout_mode,
        temperature_degc,
        count(distinct exposure_s) as n_exposure,
        max(exposure_s) as longest_s,
        case
            when count(distinct exposure_s) > 1 then regr_slope(level_adu, exposure_s)
            else avg(level_adu / exposure_s)
        end as dark_adu_rate
    from dark
    group by all
    having count(distinct exposure_s) > 1 or bool_and(is_bias_subtracted)
),

gain as (
    select
        rate.camera_id,
        rate.night,
        rate.gain_setting,
        rate.x_binning,
        rate.readout_mode,
        first(gain_fit.gain_e_per_adu order by abs(gain_fit.night - rate.night)) as gain_e_per_adu
    from rate
    join gain_fit on
        gain_fit.camera_id = rate.camera_id
        and gain_fit.gain_setting is not distinct from rate.gain_setting
        and gain_fit.x_binning is not distinct from rate.x_binning
        and gain_fit.readout_mode is not distinct from rate.readout_mode
        and gain_fit.gain_e_per_adu is not null
    group by all
)

select
    camera.camera_name,
    rate.*,
    rate.dark_adu_rate * coalesce(gain.gain_e_per_adu, camera.gain_e_per_adu) as dark_e_rate
from rate
join camera using (camera_id)
left join gain on
    gain.camera_id = rate.camera_id
    and gain.night = rate.night
    and gain.gain_setting is not distinct from rate.gain_setting
    and gain.x_binning is not distinct from rate.x_binning
    and gain.readout_mode is not distinct from rate.readout_mode;
