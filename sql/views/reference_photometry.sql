-- What catalogues say of the brightness of our sources, one system a row, for systems are never
-- mixed. One row per matched source, catalogue, band and photometric system.
create or replace view reference_photometry as
select
    reference_match.field_id,
    reference_match.source_id,
    reference_match.catalogue_name,
    reference_match.reference_star_id,
    reference_star.star_name,
    reference_match.separation_arcsec,
    reference_match.is_ambiguous,
    reference_match.neighbour_arcsec,
    reference_magnitude.band,
    reference_magnitude.photometric_system,
    reference_magnitude.mag,
    reference_magnitude.mag_err,
    reference_magnitude.is_derived,
    reference_star.parallax_mas,
    reference_star.parallax_err_mas
from reference_match
join reference_star using (reference_star_id, catalogue_name)
join reference_magnitude using (reference_star_id);
