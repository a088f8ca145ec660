-- Apertures whose scatter tells the gain of a night: those of 3 pixels and one FWHM or more, as the light of
-- smaller ones depends on how stars lie on the pixels, up to two FWHM; the nearest to two FWHM if none is.
-- One row per aperture. $camera_id, $night, $band
with size as (
    select
        aperture_flux.aperture_id,
        median(sqrt(aperture_flux.n_pix / pi())) as radius_pix,
        median(frame_quality.fwhm_pix) as fwhm_pix
    from frame
    join frame_quality using (frame_id)
    join aperture_flux using (frame_id)
    join aperture using (aperture_id)
    where
        frame.camera_id = $camera_id::integer
        and frame.night = $night::date
        and frame.band is not distinct from $band::varchar
        and aperture.kind <> 'psf'
    group by aperture_flux.aperture_id
),

judged as (
    select
        aperture_id,
        radius_pix,
        abs(radius_pix - 2 * fwhm_pix) as off_pix,
        radius_pix between greatest(2.95, 0.99 * fwhm_pix) and greatest(3.05, 2.01 * fwhm_pix) as is_fit
    from size
)

select
    aperture_id,
    radius_pix
from judged
qualify
    is_fit
    or (not bool_or(is_fit) over () and row_number() over (order by off_pix, aperture_id) = 1)
order by radius_pix, aperture_id;
