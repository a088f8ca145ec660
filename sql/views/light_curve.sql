-- Instrumental light curve with times, airmass and errors. One row per frame, source and aperture.
-- requires: frame_noise
-- requires: frame_verdict
-- requires: star
-- column source_id: table source
-- column field_id: table field; that of the frame
-- column flux_adu: unit=adu; ucd=phot.flux; within the aperture, sky subtracted
-- column x_pix: unit=pix; ucd=pos.cartesian.x;instr.det; in the frame, 0-based
-- column y_pix: unit=pix; ucd=pos.cartesian.y;instr.det; in the frame, 0-based
-- column sky_rms_adu: unit=adu; scatter of one sky pixel of the annulus
-- column pixel_noise_adu: unit=adu; what of it counts as noise, see the macro of this name
-- column fwhm_pix: unit=pix; of the star in this frame; null if too faint
-- column mid_jd_utc: unit=d; ucd=time.epoch; Julian date of the middle of the exposure, UTC
-- column mid_bjd_tdb: unit=d; ucd=time.epoch; barycentric Julian date, TDB, for the position of the star
-- column mid_hjd_utc: unit=d; ucd=time.epoch; heliocentric Julian date, UTC, for the position of the star
-- column position_source: whose position was used for it: source, host (of the planet), field
-- column altitude_deg: unit=deg; ucd=pos.az.alt; of the star, without refraction; null without a site
-- column airmass: ucd=obs.airMass; computed (Pickering 2002); null without a site
-- column flux_err_adu: unit=adu; ucd=stat.error;phot.flux; null without a gain
-- column instrumental_mag: unit=mag; ucd=phot.mag; -2.5 log10(flux / exposure); null for no positive flux or no exposure
-- column instrumental_mag_err: unit=mag; ucd=stat.error;phot.mag
-- column frame_fwhm_pix: unit=pix; median FWHM of the frame
-- column gain_source: where the gain behind the error comes from; null: no gain
-- column scintillation: relative flux; null where telescope diameter or site height are not known
-- column flags: table flag; of the measurement, its frame and its source
-- column is_clean: none of the severe flags is set
create or replace view light_curve as
with placed as (
    select
        measurement.frame_id,
        measurement.source_id,
        coalesce(field_frame.field_id, star.field_id) as field_id,
        frame.band,
        frame.night,
        frame.mid_utc,
        frame.exposure_s,
        frame.pier_side,
        jd_utc(frame.mid_utc) as mid_jd_utc,
        jd_utc(frame.mid_utc) + (
            vantage.tdb_minus_utc_s + along(
                vantage.barycentric_x_ls, vantage.barycentric_y_ls, vantage.barycentric_z_ls,
                star.ra_deg, star.dec_deg
            )
        ) / 86400 as mid_bjd_tdb,
        jd_utc(frame.mid_utc) + along(
            vantage.heliocentric_x_ls, vantage.heliocentric_y_ls, vantage.heliocentric_z_ls,
            star.ra_deg, star.dec_deg
        ) / 86400 as mid_hjd_utc,
        frame.time_source,
        frame.time_err_s,
        vantage.is_geocentric,
        altitude_of(along(
            vantage.zenith_x, vantage.zenith_y, vantage.zenith_z, star.ra_deg, star.dec_deg
        )) as altitude_deg,
        star.position_source,
        measurement.x_pix,
        measurement.y_pix,
        measurement.sky_adu_per_pix,
        measurement.sky_rms_adu,
        measurement.n_sky_pix,
        measurement.peak_adu,
        measurement.fwhm_pix,
        frame_quality.fwhm_pix as frame_fwhm_pix,
        frame_quality.elongation as frame_elongation,
        pixel_noise_adu(
            measurement.sky_adu_per_pix,
            measurement.sky_rms_adu,
            frame_quality.sky_adu,
            frame_quality.sky_rms_adu,
            frame_noise.gain_e_per_adu
        ) as pixel_noise_adu,
        measurement.flags | frame_quality.flags | (star.flags & source_flag_bits())
        | case when frame_verdict.is_rejected then rejected_frame_bit() else 0 end
        | case when frame_verdict.is_cloudy then low_transparency_bit() else 0 end as flags,
        frame_noise.gain_e_per_adu,
        frame_noise.gain_source,
        camera.aperture_m,
        site.elevation_m,
        flat.noise_adu / nullif(flat.level_adu, 0) as flat_noise,
        point_spread.profile_err
    from measurement
    join frame using (frame_id)
    join camera using (camera_id)
    join star using (source_id)
    join frame_quality using (frame_id)
    join frame_noise using (frame_id)
    left join frame_verdict using (frame_id)
    left join field_frame using (frame_id)
    left join site using (site_id)
    left join vantage using (frame_id)
    left join point_spread using (frame_id)
    left join calibration using (frame_id)
    left join master as flat on flat.master_id = calibration.flat_master_id
),

measured as (
    select
        placed.* exclude (flags),
        airmass_at(placed.altitude_deg) as airmass,
        aperture_flux.aperture_id,
        aperture_flux.flux_adu,
        aperture_flux.n_pix,
        aperture_flux.neighbour_adu,
        aperture_flux.neighbour_slope_adu,
        placed.flags | aperture_flux.flags as flags
    from placed
    join aperture_flux using (frame_id, source_id)
),

with_error as (
    select
        measured.*,
        scintillation(aperture_m, elevation_m, exposure_s, airmass) as scintillation,
        flux_err_adu(
            flux_adu, gain_e_per_adu, n_pix, n_sky_pix, pixel_noise_adu, flat_noise, frame_fwhm_pix,
            scintillation(aperture_m, elevation_m, exposure_s, airmass),
            profile_err_adu := profile_err_adu(profile_err, flux_adu, neighbour_adu),
            neighbour_err_adu := neighbour_err_adu(neighbour_slope_adu, frame_elongation)
        ) as flux_err_adu
    from measured
)

select
    frame_id,
    source_id,
    aperture_id,
    field_id,
    band,
    night,
    mid_utc,
    mid_jd_utc,
    mid_bjd_tdb,
    mid_hjd_utc,
    time_source,
    time_err_s,
    is_geocentric,
    position_source,
    exposure_s,
    altitude_deg,
    airmass,
    pier_side,
    flux_adu,
    flux_err_adu,
    case
        when flux_adu > 0 then -2.5 * log10(flux_adu / nullif(exposure_s, 0))
    end as instrumental_mag,
    case
        when flux_adu > 0 then 2.5 / ln(10) * flux_err_adu / flux_adu
    end as instrumental_mag_err,
    n_pix,
    x_pix,
    y_pix,
    sky_adu_per_pix,
    sky_rms_adu,
    pixel_noise_adu,
    n_sky_pix,
    peak_adu,
    fwhm_pix,
    frame_fwhm_pix,
    gain_source,
    scintillation,
    flags,
    is_clean(flags) as is_clean
from with_error;
