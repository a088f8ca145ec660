-- Relative scintillation noise (Osborn et al. 2015, MNRAS 452, 1707, eq. 7, with C_Y = 1.5).
-- Telescope diameter and site height in m, exposure in s; null where one of them is not known.
create or replace macro scintillation(aperture_m, elevation_m, exposure_s, airmass) as
    sqrt(
        1e-5 * 1.5 * 1.5 * pow(aperture_m, -4.0 / 3) / exposure_s
        * pow(airmass, 3) * exp(-2 * elevation_m / 8000)
    );
