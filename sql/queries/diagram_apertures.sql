-- Apertures in which stars of a field were measured, that first whose radius is nearest to the FWHM of
-- the frames: close to the best signal to noise of faint stars (Howell 1989, PASP 101, 616), with
-- little light of neighbours; twenty frames and 300 stars tell. One row per aperture. $field_id $bands
-- $aperture_id
with looked_at as (
    select
        frame.frame_id,
        frame_quality.fwhm_pix
    from frame
    join field_frame using (frame_id)
    join frame_quality using (frame_id)
    where
        field_frame.field_id = $field_id::integer
        and list_contains($bands::varchar[], frame.band)
    order by hash(frame.frame_id)
    limit 20
),

some_star as (
    select source_id
    from field_star
    where field_id = $field_id::integer
    order by hash(source_id)
    limit 300
),

radius as (
    select
        aperture_flux.aperture_id,
        count(*) as n_point,
        sqrt(avg(aperture_flux.n_pix) / pi()) as radius_pix,
        avg(looked_at.fwhm_pix) as fwhm_pix
    from aperture_flux
    join looked_at using (frame_id)
    semi join some_star using (source_id)
    where
        ($aperture_id is null or aperture_flux.aperture_id = $aperture_id::smallint)
        and aperture_flux.flux_adu > 0
        and is_clean(aperture_flux.flags)
    group by aperture_flux.aperture_id
)

select
    radius.aperture_id,
    aperture.aperture_name,
    radius.n_point,
    radius.radius_pix,
    radius.fwhm_pix
from radius
join aperture using (aperture_id)
where radius.radius_pix > 0
order by abs(ln(radius.radius_pix / radius.fwhm_pix)) nulls last, radius.aperture_id;
