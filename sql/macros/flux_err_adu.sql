-- One-sigma error of an aperture flux in ADU (Merline & Howell 1995; Collins et al. 2017).
-- sky_rms is measured on the frame, so it holds read and dark noise already; the sky level is a
-- midmean (mean of the middle half) of n_sky pixels, hence 1.19; flat_noise is relative, per pixel;
-- 2.27 FWHM^2 pixels share the light of a star. Flat noise and scintillation that are not known
-- count as zero, and so do what the profile of a fit misses (null for a circle) and the light of
-- neighbours in a circle (null for a fit), but without a flux, a gain or a sky there is no error.
-- (F + |F|) / 2 is the positive part of F, null for a null: greatest(F, 0) would be 0.
create or replace macro flux_err_adu(
    flux_adu, gain_e_per_adu, n_pix, n_sky_pix, sky_rms_adu, flat_noise, fwhm_pix, scintillation,
    profile_err_adu := null, neighbour_err_adu := null
) as
    sqrt(
        (flux_adu + abs(flux_adu)) / 2 / nullif(gain_e_per_adu, 0)
        + n_pix * (1 + 1.19 * n_pix / nullif(n_sky_pix, 0)) * pow(sky_rms_adu, 2)
        + coalesce(pow(flat_noise * flux_adu, 2) / (2.27 * pow(nullif(fwhm_pix, 0), 2)), 0)
        + coalesce(pow(scintillation * flux_adu, 2), 0)
        + coalesce(pow(profile_err_adu, 2), 0)
        + coalesce(pow(neighbour_err_adu, 2), 0)
    );
