-- The brightness of stars on stacks. The gain is that of the stack, which grows with the number of
-- frames averaged. Resampled pixels share their noise, so that the sky's part of the error is larger
-- than the scatter of pixels tells: by the stack's noise_correlation. One row per stack, source and
-- aperture.
-- column instrumental_mag: unit=mag; ucd=phot.mag; -2.5 log10(flux / exposure of the reference frame)
-- column instrumental_mag_err: unit=mag; 1-sigma; null: gain not known, or no light
-- column flux_err_adu: unit=adu; 1-sigma; null: gain not known
-- column flags: of the star and of the aperture
create or replace view stack_photometry as
with measured as (
    select
        stack.stack_id,
        stack.field_id,
        stack.band,
        stack.night,
        stack.n_frame,
        stack.exposure_s,
        flux.source_id,
        flux.aperture_id,
        measurement.x_pix,
        measurement.y_pix,
        measurement.fwhm_pix,
        flux.flux_adu,
        flux_err_adu(
            flux.flux_adu,
            stack.gain_e_per_adu,
            flux.n_pix,
            measurement.n_sky_pix,
            measurement.sky_rms_adu * stack.noise_correlation,
            null,
            stack.fwhm_pix,
            null
        ) as flux_err_adu,
        measurement.flags | flux.flags as flags
    from stack
    join stack_measurement as measurement using (stack_id)
    join stack_flux as flux using (stack_id, source_id)
)

select
    measured.*,
    source.ra_deg,
    source.dec_deg,
    case
        when measured.flux_adu > 0 then -2.5 * log10(measured.flux_adu / nullif(exposure_s, 0))
    end as instrumental_mag,
    case
        when measured.flux_adu > 0 then 2.5 / ln(10) * flux_err_adu / measured.flux_adu
    end as instrumental_mag_err
from measured
join source using (source_id);
