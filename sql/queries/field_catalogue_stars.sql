-- The stars of the catalogue that serves best to solve a field: moved to the epoch of a frame, brightest
-- first. One row per star.
-- $ra_deg, $dec_deg, $radius_deg (circle to be searched), $mid_utc (epoch; null: as listed)
with inside as (
    select *
    from reference_star as star
    anti join variable_star using (reference_star_id)
    where
        abs(star.dec_deg - $dec_deg::double) <= $radius_deg::double
        and separation_of(
            unit_vector(star.ra_deg, star.dec_deg), unit_vector($ra_deg::double, $dec_deg::double)
        ) <= 3600 * $radius_deg::double
),

-- places from Gaia before others, many stars before few
best as (
    select catalogue_name
    from inside
    group by catalogue_name
    order by (catalogue_name in ('gaia-dr3', 'atlas-refcat2')) and count(*) >= 30 desc, count(*) desc
    limit 1
),

moved as (
    select
        inside.*,
        moved_vector(
            ra_deg,
            dec_deg,
            pm_ra_mas_per_yr,
            pm_dec_mas_per_yr,
            coalesce(jyear_of($mid_utc::timestamp) - epoch_jyear, 0)
        ) as place
    from inside
    semi join best using (catalogue_name)
)

select
    catalogue_name,
    (degrees(atan2(place[2], place[1])) + 360) % 360 as ra_deg,
    degrees(atan2(place[3], sqrt(pow(place[1], 2) + pow(place[2], 2)))) as dec_deg,
    rank_mag
from moved
order by rank_mag nulls last, reference_star_id
limit 20000;
