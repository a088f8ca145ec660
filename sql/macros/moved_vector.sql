-- Unit vector of a star some years after the epoch of its place: it moves along a straight line
-- through space, without radial velocity. Proper motion [mas/yr], in RA times cos(dec); null: none.
-- requires: unit_vector
-- requires: shifted_vector
create or replace macro moved_vector(ra_deg, dec_deg, pm_ra_mas_per_yr, pm_dec_mas_per_yr, years) as
    case
        when coalesce(pm_ra_mas_per_yr, pm_dec_mas_per_yr) is null or years is null
            then unit_vector(ra_deg, dec_deg)
        else shifted_vector(
            ra_deg,
            dec_deg,
            radians(coalesce(pm_ra_mas_per_yr, 0) * years / 3.6e6),
            radians(coalesce(pm_dec_mas_per_yr, 0) * years / 3.6e6)
        )
    end;
