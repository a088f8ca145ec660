-- Gain, read noise and saturation of cameras as measured, oldest night first. One row per camera,
-- night, band, setting and method. $camera
with ramp as (
    select
        camera_id,
        gain_setting,
        x_binning,
        readout_mode,
        night,
        saturation_adu,
        full_well_e,
        linearity_verdict
    from ramp_fit
),

nearest as (
    select
        gain_fit.*,
        first(ramp order by ramp.saturation_adu is null, abs(ramp.night - gain_fit.night)) as ramp
    from gain_fit
    left join ramp on
        ramp.camera_id = gain_fit.camera_id
        and ramp.gain_setting is not distinct from gain_fit.gain_setting
        and ramp.x_binning is not distinct from gain_fit.x_binning
        and ramp.readout_mode is not distinct from gain_fit.readout_mode
    group by all
)

select
    camera.camera_name as camera,
    nearest.night,
    nearest.band,
    nearest.gain_setting,
    nearest.x_binning as binning,
    nearest.readout_mode,
    nearest.gain_e_per_adu,
    nearest.gain_err_e_per_adu,
    nearest.read_noise_e,
    coalesce(nearest.ramp.saturation_adu, camera.saturation_adu) as saturation_adu,
    nearest.ramp.full_well_e as full_well_e,
    nearest.n_pair as n_pairs,
    nearest.method,
    nearest.verdict,
    nearest.ramp.linearity_verdict as linearity
from nearest
join camera using (camera_id)
where $camera is null or camera.camera_name = $camera
order by camera.camera_name, nearest.night, nearest.band, nearest.method;
