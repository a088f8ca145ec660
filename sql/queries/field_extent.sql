-- The circle on the sky that holds a field, around its stars, else half a degree around its pointing;
-- and how sharp the field is. One row per field.
-- $field_id
with star as (
    select
        fwhm_pix,
        unit_vector(ra_deg, dec_deg) as place
    from field_star
    where field_id = $field_id::integer and ra_deg is not null
),

centre as (
    select
        median(fwhm_pix) as fwhm_pix,
        (degrees(atan2(avg(place[2]), avg(place[1]))) + 360) % 360 as ra_deg,
        degrees(atan2(avg(place[3]), sqrt(pow(avg(place[1]), 2) + pow(avg(place[2]), 2))))
        as dec_deg
    from star
),

edge as (
    select max(separation_of(star.place, unit_vector(centre.ra_deg, centre.dec_deg))) as arcsec
    from star
    cross join centre
)

select
    field.field_id,
    coalesce(centre.ra_deg, field.ra_deg) as ra_deg,
    coalesce(centre.dec_deg, field.dec_deg) as dec_deg,
    coalesce(edge.arcsec / 3600, 0.5) as radius_deg,
    field.scale_arcsec_per_pix,
    centre.fwhm_pix * field.scale_arcsec_per_pix as fwhm_arcsec,
    wcs.rms_arcsec
from field
left join wcs on wcs.frame_id = field.reference_frame_id
cross join centre
cross join edge
where field.field_id = $field_id::integer;
