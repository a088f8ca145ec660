-- Stars of a field with magnitude and colour, over all its frames and nights. One row per source that has
-- all bands asked for. Calibrated where every band has zero points on one photometric system, of which
-- the one with most frames counts; else instrumental, the frames brought to a level by what they
-- lost against the clearest of their night (frame_transparency); the two are never mixed. `take` is
-- 'weighted' (by the errors) or 'median': of fluxes, negative ones with them, for the mean of
-- magnitudes takes faint stars for brighter than they are. Errors are those of the measurements,
-- raised to their scatter where three or more scatter by more. max_err_mag limits the error a single
-- measurement of a star typically has: of all of its measurements or none. `without_terms`: no colour
-- terms, magnitudes as the instrument sees them, on the level of the system at the pivot colours. A
-- star without a colour in the catalogue gets the colour term of its own colour, solved with both
-- bands. A limit of null is none; of a star for which what is limited is not known, it asks in vain.
create or replace macro colour_magnitude(
    in_field, blue_band, red_band, mag_band,
    in_aperture := null, take := 'weighted', on_system := null, min_frame := 1,
    max_err_mag := null, max_blended := null, with_unclean := false,
    centre_ra_deg := null, centre_dec_deg := null, inner_arcsec := null, outer_arcsec := null,
    min_parallax_mas := null, max_parallax_mas := null,
    pm_ra_mas_per_yr := null, pm_dec_mas_per_yr := null, pm_reach_mas_per_yr := null,
    without_terms := false
) as table
with chosen as (
    select field.field_id
    from field
    left join field_frame using (field_id)
    where
        field.field_id::varchar = in_field::varchar
        or name_key(field.field_name) = name_key(in_field::varchar)
    group by field.field_id
    order by count(*) desc, field.field_id
    limit 1
),

basis as (
    select
        zero_point.photometric_system,
        zero_point.catalogue_name
    from zero_point
    join frame using (frame_id)
    join field_frame using (frame_id)
    where
        field_frame.field_id = (select field_id from chosen)
        and zero_point.aperture_id = in_aperture
        and frame.band in (blue_band, red_band, mag_band)
        and (on_system is null or zero_point.photometric_system = on_system)
    group by zero_point.photometric_system, zero_point.catalogue_name
    having
        count(distinct frame.band)
        = (select count(*) from (select distinct unnest([blue_band, red_band, mag_band])))
    order by count(*) desc, zero_point.photometric_system, zero_point.catalogue_name
    limit 1
),

measured as (
    select
        calibrated_magnitude.source_id,
        calibrated_magnitude.band,
        calibrated_magnitude.flags,
        flux_adu,
        flux_err_adu,
        pow(
            10,
            -0.4 * case
                when basis.catalogue_name is null then -coalesce(frame_transparency.dimming_mag, 0)
                when without_terms then natural_level_mag
                else natural_level_mag + colour_mag
            end
        ) / nullif(calibrated_magnitude.exposure_s, 0) as scale,
        case when basis.catalogue_name is null then 0 else level_err_mag end as level_err_mag,
        case when not without_terms and not has_colour then colour_term end as open_term,
        colour_pivot_mag as pivot_mag,
        term_colour
    from calibrated_magnitude
    left join basis on true
    left join frame_transparency using (frame_id, aperture_id)
    where
        calibrated_magnitude.field_id = (select field_id from chosen)
        and calibrated_magnitude.aperture_id = in_aperture
        and calibrated_magnitude.band in (blue_band, red_band, mag_band)
        and calibrated_magnitude.flux_adu is not null
        and (with_unclean or calibrated_magnitude.is_clean)
        and (
            basis.catalogue_name is null
            or (
                calibrated_magnitude.catalogue_name = basis.catalogue_name
                and calibrated_magnitude.photometric_system = basis.photometric_system
            )
        )
),

point as (
    select
        source_id,
        band,
        scale * flux_adu as flux,
        ln(10) / 2.5 * scale * flux_adu * level_err_mag as level_err,
        1 / greatest(
            coalesce(pow(scale * flux_err_adu, 2) + pow(level_err, 2), 1),
            pow(1e-4 * flux, 2),
            1e-60
        ) as weight,
        flux_err_adu is not null as has_err,
        open_term,
        pivot_mag,
        term_colour,
        flags
    from measured
),

summed as (
    select
        source_id,
        band,
        count(*) as n_frame,
        sum(weight) as weight,
        sum(weight * flux) / sum(weight) as mean_flux,
        median(flux) filter (take = 'median') as median_flux,  -- dear, and hence only on demand
        sum(weight * flux * flux) - pow(sum(weight * flux), 2) / sum(weight) as chi2,
        stddev_samp(flux) as scatter_flux,
        bool_and(has_err) as has_err,
        avg(open_term) as open_term,
        avg(pivot_mag) as pivot_mag,
        any_value(term_colour) as term_colour,
        bit_or(flags) as flags,
        avg((flags & (select "value" from flag where flag_name = 'blended') <> 0)::integer)
        as blended
    from point
    group by source_id, band
    having count(*) >= min_frame
),

averaged as (
    select
        source_id,
        band,
        n_frame,
        flags,
        blended,
        term_colour,
        case when take = 'median' then median_flux else mean_flux end as flux,
        -2.5 * log10(flux) as mag,
        2.5 / ln(10) * scatter_flux / flux as scatter_mag,
        2.5 / ln(10) / flux * case
            when has_err
                then
                    case when take = 'median' and n_frame > 2 then 1.2533 else 1 end
                    * sqrt(
                        greatest(
                            case when n_frame > 2 then chi2 / (n_frame - 1) else 1 end, 1
                        ) / weight
                    )
            else scatter_flux / sqrt(n_frame)
        end as mag_err,
        coalesce(open_term, 0) as open_term,
        coalesce(pivot_mag, 0) as pivot_mag
    from summed
    where
        case when take = 'median' then median_flux else mean_flux end > 0
        and (
            max_err_mag is null
            or 2.5 / ln(10) * sqrt(n_frame / weight)
            <= max_err_mag * case when take = 'median' then median_flux else mean_flux end
        )
),

paired as (
    select
        blue.source_id,
        blue.mag as blue_pivot_mag,
        red.mag as red_pivot_mag,
        third.mag as third_mag,
        blue.mag_err as blue_mag_err,
        red.mag_err as red_mag_err,
        third.mag_err as mag_err,
        third.scatter_mag,
        blue.n_frame as n_blue_frame,
        red.n_frame as n_red_frame,
        third.n_frame as n_mag_frame,
        blue.flags | red.flags | third.flags as flags,
        greatest(blue.blended, red.blended, third.blended) as blended,
        case when blue.term_colour = pair.colour then blue.open_term else 0 end as blue_term,
        case when red.term_colour = pair.colour then red.open_term else 0 end as red_term,
        case when third.term_colour = pair.colour then third.open_term else 0 end as third_term,
        blue.pivot_mag as blue_pivot,
        red.pivot_mag as red_pivot,
        third.pivot_mag as third_pivot
    from averaged as blue
    join averaged as red using (source_id)
    join averaged as third using (source_id)
    cross join (select blue_band || '-' || red_band as colour) as pair
    where blue.band = blue_band and red.band = red_band and third.band = mag_band
),

solved as (
    select
        *,
        (blue_pivot_mag - red_pivot_mag - blue_term * blue_pivot + red_term * red_pivot)
        / (1 - blue_term + red_term) as colour_mag
    from paired
),

centre as (
    select
        coalesce(
            centre_ra_deg, (degrees(atan2(avg(place[2]), avg(place[1]))) + 360) % 360
        ) as ra_deg,
        coalesce(
            centre_dec_deg,
            degrees(atan2(avg(place[3]), sqrt(pow(avg(place[1]), 2) + pow(avg(place[2]), 2))))
        ) as dec_deg
    from (
        select unit_vector(ra_deg, dec_deg) as place
        from field_star
        where field_id = (select field_id from chosen) and ra_deg is not null
    )
),

motion as (
    select
        reference_match.source_id,
        first(
            reference_star
            order by
                reference_star.parallax_mas is null,
                reference_star.pm_ra_mas_per_yr is null,
                reference_match.catalogue_name desc
        ) as star
    from reference_match
    join reference_star using (reference_star_id)
    where
        reference_match.field_id = (select field_id from chosen)
        and not reference_match.is_ambiguous
    group by reference_match.source_id
),

catalogued as (
    select
        reference_photometry.source_id,
        any_value(reference_photometry.separation_arcsec) as match_arcsec,
        max(mag) filter (band = blue_band) as blue_mag,
        max(mag) filter (band = red_band) as red_mag,
        max(mag) filter (band = mag_band) as mag
    from reference_photometry
    join basis using (photometric_system, catalogue_name)
    where
        reference_photometry.field_id = (select field_id from chosen)
        and reference_photometry.band in (blue_band, red_band, mag_band)
    group by reference_photometry.source_id
)

select
    solved.source_id,
    source.ra_deg,
    source.dec_deg,
    solved.third_mag + third_term * (solved.colour_mag - solved.third_pivot) as mag,
    solved.mag_err,
    solved.colour_mag as colour,
    sqrt(pow(solved.blue_mag_err, 2) + pow(solved.red_mag_err, 2))
    / abs(1 - blue_term + red_term) as colour_err,
    solved.n_blue_frame + solved.n_red_frame
    + case when mag_band in (blue_band, red_band) then 0 else solved.n_mag_frame end as n_frame,
    basis.catalogue_name is not null as is_calibrated,
    solved.flags,
    basis.photometric_system,
    basis.catalogue_name,
    solved.blue_mag_err,
    solved.red_mag_err,
    solved.scatter_mag,
    solved.n_mag_frame,
    solved.blended,
    case
        when source.ra_deg is not null and centre.ra_deg is not null
            then separation_of(
                unit_vector(coalesce(source.ra_deg, 0), coalesce(source.dec_deg, 0)),
                unit_vector(coalesce(centre.ra_deg, 0), coalesce(centre.dec_deg, 0))
            )
    end as separation_arcsec,
    catalogued.blue_mag - catalogued.red_mag as catalogue_colour,
    catalogued.mag as catalogue_mag,
    catalogued.match_arcsec,
    motion.star.parallax_mas as parallax_mas,
    motion.star.pm_ra_mas_per_yr as star_pm_ra_mas_per_yr,
    motion.star.pm_dec_mas_per_yr as star_pm_dec_mas_per_yr
from solved
join source using (source_id)
cross join centre
left join basis on true
left join motion using (source_id)
left join catalogued using (source_id)
where
    (max_blended is null or solved.blended <= max_blended)
    and (inner_arcsec is null or separation_arcsec >= inner_arcsec)
    and (outer_arcsec is null or separation_arcsec <= outer_arcsec)
    and (min_parallax_mas is null or motion.star.parallax_mas >= min_parallax_mas)
    and (max_parallax_mas is null or motion.star.parallax_mas <= max_parallax_mas)
    and (
        pm_reach_mas_per_yr is null
        or sqrt(
            pow(motion.star.pm_ra_mas_per_yr - pm_ra_mas_per_yr, 2)
            + pow(motion.star.pm_dec_mas_per_yr - pm_dec_mas_per_yr, 2)
        ) <= pm_reach_mas_per_yr
    );
