-- Magnitudes of isochrones band by band; of several imports of one curve the newest counts.
-- One row per curve, equal evolutionary point, band and photometric system.
-- column absolute_mag: unit=mag; ucd=phot.mag;phys.magAbs; without reddening
-- column is_synthetic: made by shifts for a test; no model of stars
create or replace view isochrone_magnitude as
select
    isochrone_grid.grid_name,
    isochrone_grid.is_synthetic,
    isochrone_band.photometric_system,
    isochrone_band.band,
    isochrone.age_gyr,
    isochrone.feh_dex,
    isochrone.alpha_fe_dex,
    isochrone.v_over_vcrit,
    isochrone.eep,
    isochrone.initial_mass_msun,
    isochrone.phase,
    isochrone.absolute_mag[isochrone_band.place] as absolute_mag
from isochrone
join isochrone_grid using (grid_id)
join isochrone_band using (grid_id)
qualify
    isochrone_grid.grid_id = max(isochrone_grid.grid_id) over (
        partition by
            isochrone_grid.grid_name, isochrone_band.photometric_system, isochrone_band.band,
            isochrone.age_gyr, isochrone.feh_dex, isochrone.alpha_fe_dex, isochrone.v_over_vcrit
    );
