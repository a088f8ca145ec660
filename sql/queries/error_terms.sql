-- What the error model is made of, in the steadiest aperture: medians over the frames and clean stars
-- of a field, night and band; without the light of neighbours, which each star has of its own. One row per field, night and band. $night
select
    field.field_name,
    light_curve.field_id,
    light_curve.night,
    light_curve.band,
    median(light_curve.exposure_s) as exposure_s,
    median(frame_noise.gain_e_per_adu) as gain_e_per_adu,
    any_value(frame_noise.gain_source) as gain_source,
    median(light_curve.n_pix) as n_pix,
    median(light_curve.n_sky_pix) as n_sky_pix,
    median(light_curve.pixel_noise_adu) as pixel_noise_adu,
    median(flat.noise_adu / nullif(flat.level_adu, 0)) as flat_noise,
    median(light_curve.frame_fwhm_pix) as fwhm_pix,
    median(light_curve.scintillation) as scintillation,
    median(point_spread.profile_err) filter (aperture.kind = 'psf') as profile_err,
    any_value(aperture.aperture_name) as aperture_name
from light_curve
join field_aperture on
    field_aperture.place = 1
    and field_aperture.field_id = light_curve.field_id
    and field_aperture.night = light_curve.night
    and field_aperture.band is not distinct from light_curve.band
    and field_aperture.aperture_id = light_curve.aperture_id
join aperture on aperture.aperture_id = light_curve.aperture_id
join field on field.field_id = light_curve.field_id
join frame_noise on frame_noise.frame_id = light_curve.frame_id
left join point_spread on point_spread.frame_id = light_curve.frame_id
left join calibration on calibration.frame_id = light_curve.frame_id
left join master as flat on flat.master_id = calibration.flat_master_id
where light_curve.night = $night::date and light_curve.is_clean
group by all
order by all;
