-- A flux over another sky than the one it was measured over: the annulus's, the mesh's, any.
-- A flux that was corrected for missing light has that much more of each pixel of sky in it.
create or replace macro flux_over_sky_adu(
    flux_adu, n_pix, missing_fraction, sky_adu_per_pix, other_sky_adu_per_pix
) as
    flux_adu
    + n_pix / (1 - coalesce(missing_fraction, 0)) * (sky_adu_per_pix - other_sky_adu_per_pix);
