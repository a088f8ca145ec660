-- Apertures in which a star was measured in a night and band, smallest first. One row per aperture.
-- $source_id, $night, $band
select
    aperture.aperture_id,
    aperture.aperture_name,
    avg(aperture_flux.n_pix) as n_pix
from aperture_flux
join aperture using (aperture_id)
join frame using (frame_id)
where
    aperture_flux.source_id = $source_id::integer
    and frame.night = $night::date
    and frame.band is not distinct from $band::varchar
    and aperture_flux.flux_adu is not null
group by all
order by n_pix, aperture.aperture_id;
