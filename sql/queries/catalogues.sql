-- Reference catalogues and what they hold. One row per catalogue, band and photometric system; a
-- catalogue without magnitudes has one row.
select
    catalogue.catalogue_name,
    catalogue.n_import,
    catalogue.n_star,
    content.band,
    content.photometric_system,
    content.n_mag,
    content.brightest_mag,
    content.faintest_mag
from (
    select
        catalogue_name,
        count(distinct catalogue_id) as n_import,
        count(*) as n_star
    from reference_star
    group by catalogue_name
) as catalogue
left join (
    select
        reference_star.catalogue_name,
        reference_magnitude.band,
        reference_magnitude.photometric_system,
        count(*) as n_mag,
        min(reference_magnitude.mag) as brightest_mag,
        max(reference_magnitude.mag) as faintest_mag
    from reference_magnitude
    join reference_star using (reference_star_id)
    group by all
) as content using (catalogue_name)
order by catalogue.catalogue_name, content.photometric_system, content.band;
