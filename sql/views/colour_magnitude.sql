-- Colours and magnitudes of stars, of their mean fluxes over all frames, weighted by the errors, for every
-- pair of bands of a field in every aperture; the function of the same name takes limits, medians and colour terms of the
-- star's own colour. Calibrated and instrumental magnitudes, and those of two photometric systems, stand
-- in rows of their own. One row per field, source, aperture, pair of bands and system.
-- requires: calibrated_magnitude
-- column field_id: table field
-- column source_id: table source
-- column blue_band: colour is blue less red
-- column red_band: colour is blue less red; band of mag, too
-- column mag: unit=mag; ucd=phot.mag; in the red band; calibrated or instrumental, see is_calibrated
-- column mag_err: unit=mag; ucd=stat.error;phot.mag; raised to the scatter of three or more frames
-- column colour: unit=mag; ucd=phot.color; blue less red magnitude
-- column colour_err: unit=mag; ucd=stat.error;phot.color; same
-- column n_frame: measurements behind both bands
-- column flags: table flag; those of all measurements together
-- column is_calibrated: whether magnitudes are on the photometric system; false: instrumental
-- column photometric_system: the system magnitudes are on; null: instrumental
-- column catalogue_name: catalogue behind the zero points; null: instrumental
create or replace view colour_magnitude as
with point as (
    select
        calibrated_magnitude.field_id,
        calibrated_magnitude.source_id,
        calibrated_magnitude.aperture_id,
        calibrated_magnitude.band,
        is_calibrated,
        photometric_system,
        catalogue_name,
        flags,
        pow(
            10,
            -0.4 * case
                when is_calibrated then natural_level_mag + colour_mag
                else -coalesce(frame_transparency.dimming_mag, 0)
            end
        ) / nullif(exposure_s, 0) as scale,
        scale * flux_adu as flux,
        1 / greatest(
            pow(scale * flux_err_adu, 2)
            + pow(ln(10) / 2.5 * flux * coalesce(level_err_mag, 0), 2),
            pow(1e-4 * flux, 2),
            1e-60
        ) as weight
    from calibrated_magnitude
    left join frame_transparency using (frame_id, aperture_id)
    where is_clean and flux_adu is not null and flux_err_adu is not null
),

summed as (
    select
        field_id,
        source_id,
        aperture_id,
        band,
        is_calibrated,
        photometric_system,
        catalogue_name,
        count(*) as n_frame,
        bit_or(flags) as flags,
        sum(weight) as weight,
        sum(weight * flux) / sum(weight) as mean_flux,
        sum(weight * flux * flux) - pow(sum(weight * flux), 2) / sum(weight) as chi2
    from point
    group by all
),

averaged as (
    select
        *,
        -2.5 * log10(mean_flux) as mag,
        2.5 / ln(10) / mean_flux * sqrt(
            greatest(case when n_frame > 2 then chi2 / (n_frame - 1) else 1 end, 1) / weight
        ) as mag_err
    from summed
    where mean_flux > 0
)

select
    blue.field_id,
    blue.source_id,
    source.ra_deg,
    source.dec_deg,
    blue.aperture_id,
    blue.band as blue_band,
    red.band as red_band,
    red.mag,
    red.mag_err,
    blue.mag - red.mag as colour,
    sqrt(pow(blue.mag_err, 2) + pow(red.mag_err, 2)) as colour_err,
    blue.n_frame + red.n_frame as n_frame,
    blue.is_calibrated,
    blue.flags | red.flags as flags,
    blue.photometric_system,
    blue.catalogue_name
from averaged as blue
join averaged as red on
    red.field_id = blue.field_id
    and red.source_id = blue.source_id
    and red.aperture_id = blue.aperture_id
    and red.photometric_system is not distinct from blue.photometric_system
    and red.catalogue_name is not distinct from blue.catalogue_name
    and list_position(['U', 'u', 'B', 'g', 'V', 'r', 'R', 'i', 'I', 'z', 'y', 'J', 'H', 'K'], blue.band)
    < list_position(['U', 'u', 'B', 'g', 'V', 'r', 'R', 'i', 'I', 'z', 'y', 'J', 'H', 'K'], red.band)
join source on source.source_id = blue.source_id;
