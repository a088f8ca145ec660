-- Light curves under the names of an AstroImageJ table; the target is T1, pixels begin at 1. One row per
-- frame, target and aperture that has stored comparison stars.
-- requires: differential_light_curve
-- requires: frame_name
-- column Label: first name the frame was seen under
-- column JD_UTC: unit=d; ucd=time.epoch; middle of the exposure
-- column HJD_UTC: unit=d; ucd=time.epoch; middle of the exposure
-- column BJD_TDB: unit=d; ucd=time.epoch; middle of the exposure
-- column AIRMASS: ucd=obs.airMass; computed
-- column EXPTIME: unit=s; ucd=time.duration;obs.exposure
-- column rel_flux_T1: ucd=phot.flux;arith.ratio; over the comparison stars, median of the night 1
-- column rel_flux_err_T1: ucd=stat.error;phot.flux;arith.ratio; 1-sigma
-- column rel_flux_SNR_T1: ucd=stat.snr; rel_flux_T1 over its error
-- column Source-Sky_T1: unit=adu; ucd=phot.flux; within the aperture, sky subtracted
-- column Source_Error_T1: unit=adu; ucd=stat.error;phot.flux
-- column Source_SNR_T1: ucd=stat.snr; Source-Sky_T1 over its error
-- column Sky/Pixel_T1: unit=adu/pix; of the annulus
-- column X(FITS)_T1: unit=pix; ucd=pos.cartesian.x;instr.det; 1-based
-- column Y(FITS)_T1: unit=pix; ucd=pos.cartesian.y;instr.det; 1-based
-- column FWHM_T1: unit=pix; of the star in this frame
-- column Width_T1: unit=pix; the same: ours has one measure of width
-- column Peak_T1: unit=adu; brightest raw pixel near the star
-- column Saturated: 1 where the target is saturated or near it, else 0
create or replace view v_aij as
select
    curve.source_id,
    curve.night,
    curve.band,
    curve.aperture_id,
    curve.frame_id,
    frame_name.file_name as "Label",
    curve.mid_jd_utc as "JD_UTC",
    curve.mid_hjd_utc as "HJD_UTC",
    curve.mid_bjd_tdb as "BJD_TDB",
    curve.airmass as "AIRMASS",
    curve.exposure_s as "EXPTIME",
    curve.relative_flux as "rel_flux_T1",
    curve.relative_flux_err as "rel_flux_err_T1",
    curve.relative_flux / curve.relative_flux_err as "rel_flux_SNR_T1",
    curve.flux_adu as "Source-Sky_T1",
    curve.flux_err_adu as "Source_Error_T1",
    curve.flux_adu / curve.flux_err_adu as "Source_SNR_T1",
    curve.sky_adu_per_pix as "Sky/Pixel_T1",
    curve.x_pix + 1 as "X(FITS)_T1",
    curve.y_pix + 1 as "Y(FITS)_T1",
    curve.fwhm_pix as "FWHM_T1",
    curve.fwhm_pix as "Width_T1",
    curve.peak_adu as "Peak_T1",
    (curve.flags & (select bit_or("value") from flag where flag_name = 'saturated') <> 0)::integer
    as "Saturated"
from differential_light_curve as curve
left join frame_name using (frame_id);
