-- Calibrated magnitudes less those of the catalogue behind the zero points, to see what is left of
-- brightness, colour and place. One row per frame and matched source.
-- $field_id $aperture_id $bands
select
    calibrated_magnitude.frame_id,
    calibrated_magnitude.source_id,
    calibrated_magnitude.band,
    reference_photometry.mag as catalogue_mag,
    star_colour.colour,
    star_colour.colour_mag,
    calibrated_magnitude.mag - reference_photometry.mag as residual_mag,
    reference_photometry.separation_arcsec,
    measurement.x_pix,
    measurement.y_pix
from calibrated_magnitude
join measurement using (frame_id, source_id)
join reference_photometry on
    reference_photometry.source_id = calibrated_magnitude.source_id
    and reference_photometry.field_id = calibrated_magnitude.field_id
    and reference_photometry.catalogue_name = calibrated_magnitude.catalogue_name
    and reference_photometry.photometric_system = calibrated_magnitude.photometric_system
    and reference_photometry.band = calibrated_magnitude.band
left join star_colour on
    star_colour.source_id = calibrated_magnitude.source_id
    and star_colour.catalogue_name = calibrated_magnitude.catalogue_name
    and star_colour.photometric_system = calibrated_magnitude.photometric_system
where
    calibrated_magnitude.field_id = $field_id::integer
    and calibrated_magnitude.aperture_id = $aperture_id::smallint
    and list_contains($bands::varchar[], calibrated_magnitude.band)
    and calibrated_magnitude.is_clean
    and calibrated_magnitude.mag is not null
    and not reference_photometry.is_ambiguous
order by calibrated_magnitude.frame_id, calibrated_magnitude.source_id;
