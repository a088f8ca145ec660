-- What catalogues say of the brightness of one star, the best match first. One row per catalogue, band
-- and photometric system. $source_id
select
    band,
    photometric_system,
    mag,
    mag_err,
    catalogue_name,
    star_name,
    separation_arcsec,
from reference_photometry
where source_id = $source_id::integer and mag is not null
order by band, is_ambiguous, is_derived, separation_arcsec, catalogue_name;
