-- Fluxes over the sky of the frame's mesh, beside those over the local sky. One row per frame,
-- source and aperture.
-- column flux_adu: unit=adu; ucd=phot.flux; over the mesh; null where that is not known
-- column local_flux_adu: unit=adu; ucd=phot.flux; over the local sky, as in aperture_flux
-- column sky_mesh_adu_per_pix: unit=adu/pix; sky that was taken off
-- column flags: table flag; of measurement and aperture
create or replace view mesh_flux as
select
    aperture_flux.frame_id,
    aperture_flux.source_id,
    aperture_flux.aperture_id,
    flux_over_sky_adu(
        aperture_flux.flux_adu,
        aperture_flux.n_pix,
        aperture_flux.missing_fraction,
        coalesce(aperture_flux.sky_adu_per_pix, measurement.sky_adu_per_pix),
        measurement.sky_mesh_adu_per_pix
    ) as flux_adu,
    aperture_flux.flux_adu as local_flux_adu,
    measurement.sky_mesh_adu_per_pix,
    aperture_flux.n_pix,
    measurement.flags | aperture_flux.flags as flags,
    is_clean(measurement.flags | aperture_flux.flags) as is_clean
from aperture_flux
join measurement using (frame_id, source_id);
