-- What an aperture lacks of a star's light, from the frame's curve of growth. One row per frame and
-- aperture.
-- column radius_pix: unit=pix; of the aperture in this frame
-- column total_radius_pix: unit=pix; radius that counts as the whole light
-- column correction_mag: unit=mag; to add to a magnitude of this aperture: negative
-- column correction_mag_err: unit=mag; from the scatter of the stars
-- column n_star: stars it comes from
create or replace view aperture_correction as
select
    frame_id,
    aperture_id,
    radius_pix,
    total_radius_pix,
    enclosed_fraction,
    2.5 * log10(enclosed_fraction) as correction_mag,
    2.5 / ln(10) * enclosed_fraction_err / enclosed_fraction as correction_mag_err,
    n_star
from curve_of_growth
where aperture_id is not null and enclosed_fraction > 0;
