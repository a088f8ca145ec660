-- Unit vector of a star some years after the epoch of its place: it moves along a straight line
-- through space, without radial velocity. Proper motion [mas/yr], in RA times cos(dec); null: none.
-- requires: shifted_vector
create or replace macro moved_vector(ra_deg, dec_deg, pm_ra_mas_per_yr, pm_dec_mas_per_yr, years) as
    shifted_vector(
        ra_deg,
        dec_deg,
        coalesce(radians(pm_ra_mas_per_yr * years / 3.6e6), 0),
        coalesce(radians(pm_dec_mas_per_yr * years / 3.6e6), 0)
    );
