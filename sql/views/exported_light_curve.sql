-- What every file that others read is made from: a star's light curve over its comparison stars, with
-- all its times, magnitudes, circumstances and instruments. One row per frame, target and aperture
-- that has stored comparison stars.
-- requires: differential_light_curve
-- requires: frame_name
-- requires: calibrated_magnitude
-- column camera_name: of the frame's camera
-- column telescope_name: of the frame's camera
create or replace view exported_light_curve as
select
    curve.frame_id,
    curve.source_id,
    curve.aperture_id,
    curve.field_id,
    frame_name.file_name,
    curve.night,
    curve.band,
    curve.exposure_s,
    curve.mid_utc,
    curve.mid_jd_utc,
    curve.mid_hjd_utc,
    curve.mid_bjd_tdb,
    curve.time_source,
    curve.time_err_s,
    curve.relative_flux,
    curve.relative_flux_err,
    calibrated_magnitude.mag,
    calibrated_magnitude.mag_err,
    calibrated_magnitude.is_calibrated,
    calibrated_magnitude.photometric_system,
    calibrated_magnitude.catalogue_name,
    calibrated_magnitude.has_colour,
    curve.airmass,
    curve.flux_adu,
    curve.flux_err_adu,
    curve.ensemble_flux,
    curve.n_comparison,
    curve.x_pix,
    curve.y_pix,
    curve.sky_adu_per_pix,
    curve.peak_adu,
    curve.fwhm_pix,
    frame.x_binning,
    frame.y_binning,
    camera.camera_name,
    camera.telescope_name,
    curve.flags,
    curve.is_clean
from differential_light_curve as curve
join frame using (frame_id)
join camera using (camera_id)
left join frame_name using (frame_id)
left join calibrated_magnitude using (frame_id, source_id, aperture_id);
