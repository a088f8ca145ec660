-- Colour and magnitude of the stars of a catalogue, on one photometric system, brightest first; no frame is
-- needed. A colour that the catalogue gives itself, as BP-RP, counts where its bands are not given.
-- One row per star. $catalogue $blue $red $mag $photometric_system $ra_deg $dec_deg $inner_arcsec
-- $outer_arcsec $min_parallax_mas $max_parallax_mas $pm_ra_mas_per_yr $pm_dec_mas_per_yr
-- $pm_reach_mas_per_yr
with listed as (
    select
        reference_star_id,
        max(mag) filter (band = $blue) as blue_mag,
        max(mag_err) filter (band = $blue) as blue_mag_err,
        max(mag) filter (band = $red) as red_mag,
        max(mag_err) filter (band = $red) as red_mag_err,
        max(mag) filter (band = $mag) as mag,
        max(mag_err) filter (band = $mag) as mag_err,
        max(mag) filter (band = $blue::varchar || '-' || $red::varchar) as given_colour,
        max(mag_err) filter (band = $blue::varchar || '-' || $red::varchar) as given_colour_err
    from reference_magnitude
    where photometric_system = $photometric_system
    group by reference_star_id
),

placed as (
    select
        reference_star.*,
        case
            when ra_deg is not null and dec_deg is not null and $ra_deg is not null
                then separation_of(
                    unit_vector(coalesce(ra_deg, 0), coalesce(dec_deg, 0)),
                    unit_vector(coalesce($ra_deg::double, 0), coalesce($dec_deg::double, 0))
                )
        end as separation_arcsec
    from reference_star
    where catalogue_name = $catalogue
),

matched as (
    select
        reference_star_id,
        min(source_id) as source_id
    from reference_match
    group by reference_star_id
)

select
    matched.source_id,
    placed.reference_star_id,
    placed.star_name,
    placed.ra_deg,
    placed.dec_deg,
    listed.mag,
    listed.mag_err,
    coalesce(listed.blue_mag - listed.red_mag, listed.given_colour) as colour,
    coalesce(
        sqrt(pow(listed.blue_mag_err, 2) + pow(listed.red_mag_err, 2)), listed.given_colour_err
    ) as colour_err,
    0 as n_frame,
    true as is_calibrated,
    0 as flags,
    $photometric_system::varchar as photometric_system,
    placed.catalogue_name,
    listed.blue_mag_err,
    listed.red_mag_err,
    placed.separation_arcsec,
    placed.parallax_mas
from listed
join placed using (reference_star_id)
left join matched using (reference_star_id)
where
    listed.mag is not null
    and colour is not null
    and ($inner_arcsec is null or placed.separation_arcsec >= $inner_arcsec::double)
    and ($outer_arcsec is null or placed.separation_arcsec <= $outer_arcsec::double)
    and ($min_parallax_mas is null or placed.parallax_mas >= $min_parallax_mas::double)
    and ($max_parallax_mas is null or placed.parallax_mas <= $max_parallax_mas::double)
    and (
        $pm_reach_mas_per_yr is null
        or sqrt(
            pow(placed.pm_ra_mas_per_yr - $pm_ra_mas_per_yr::double, 2)
            + pow(placed.pm_dec_mas_per_yr - $pm_dec_mas_per_yr::double, 2)
        ) <= $pm_reach_mas_per_yr::double
    )
order by listed.mag, placed.reference_star_id;
