-- Stars of a target's field that the history of the warehouse speaks against as comparison: their
-- mean magnitude changes from night to night or drifts over the years, they were rejected as
-- variable on most other nights, or their colour is far from the target's. The target's own points
-- take no part. One row per source and reason.
-- $source_id (the target), $night, $band, $max_redder_mag
with target as (
    select field_id
    from source
    where source_id = $source_id::integer
),

chosen as (
    select aperture_id
    from aperture
    where kind = 'fwhm'
    order by abs(radius - 2), aperture_id
    limit 1
),

bright as (
    select source.source_id
    from source
    join target using (field_id)
    where source.source_id <> $source_id::integer
    order by source.flux_adu desc
    limit 300
),

point as (
    select
        measurement.source_id,
        measurement.frame_id,
        frame.night,
        -2.5 * log10(aperture_flux.flux_adu / frame.exposure_s) as mag
    from measurement
    semi join bright using (source_id)
    join frame using (frame_id)
    join aperture_flux using (frame_id, source_id)
    semi join chosen using (aperture_id)
    where
        frame.band is not distinct from $band::varchar
        and frame.exposure_s > 0
        and aperture_flux.flux_adu > 0
        and is_clean(measurement.flags | aperture_flux.flags)
),

offset_point as (
    select
        *,
        mag - median(mag) over (partition by source_id) as offset_mag
    from point
),

steadied as (
    select
        source_id,
        night,
        offset_mag - median(offset_mag) over (partition by frame_id) as residual_mag
    from offset_point
),

nightly as (
    select
        source_id,
        night,
        median(residual_mag) as night_mag,
        1.4826 * mad(residual_mag) / sqrt(count(*)) as night_err_mag,
        date_diff('day', date '2000-01-01', night) / 365.25 as year
    from steadied
    group by source_id, night
    having count(*) >= 5
),

long_term as (
    select
        source_id,
        count(*) as n_night,
        stddev_samp(night_mag) as between_mag,
        median(night_err_mag) as expected_mag,
        regr_slope(night_mag, year) as slope_mag_per_year,
        max(year) - min(year) as n_year
    from nightly
    group by source_id
    having count(*) >= 3
),

field_scatter as (
    select median(between_mag) as usual_mag
    from long_term
),

rejection as (
    select
        comparison_star.source_id,
        count(distinct comparison_star.night) as n_night,
        count(distinct comparison_star.night) filter (
            where comparison_star.reason like 'variable: %'
        ) as n_rejected
    from comparison_star
    semi join bright using (source_id)
    where
        comparison_star.night <> $night::date
        and comparison_star.scatter is not null
    group by comparison_star.source_id
),

colour as (
    select
        reference_photometry.source_id,
        reference_photometry.catalogue_name,
        reference_photometry.photometric_system,
        median(reference_photometry.mag) filter (
            where reference_photometry.band in ('g', 'B')
        ) - median(reference_photometry.mag) filter (
            where reference_photometry.band in ('r', 'V')
        ) as colour_mag
    from reference_photometry
    join target using (field_id)
    group by all
),

colour_difference as (
    select
        colour.source_id,
        arg_max(colour.colour_mag - target.colour_mag, colour.catalogue_name) as redder_mag
    from colour
    join colour as target using (catalogue_name, photometric_system)
    where
        target.source_id = $source_id::integer
        and colour.source_id <> $source_id::integer
        and colour.colour_mag is not null
        and target.colour_mag is not null
    group by colour.source_id
)

select
    source_id,
    true as is_variable,
    format(
        'varies over {} nights: nightly means scatter by {:.1f} mmag, {:.1f} expected',
        n_night, 1000 * between_mag, 1000 * greatest(expected_mag, usual_mag)
    ) as reason
from long_term
cross join field_scatter
where between_mag > 0.005 and between_mag > 3 * greatest(expected_mag, usual_mag)
union all
select
    source_id,
    true as is_variable,
    format(
        'drifts by {:+.1f} mmag a year over {} nights', 1000 * slope_mag_per_year, n_night
    ) as reason
from long_term
cross join field_scatter
where
    n_year > 0.5
    and n_night >= 5
    and abs(slope_mag_per_year) * n_year > 0.01
    and abs(slope_mag_per_year) * n_year > 4 * greatest(expected_mag, usual_mag)
union all
select
    source_id,
    true as is_variable,
    format('variable on {} of {} other nights', n_rejected, n_night) as reason
from rejection
where n_night >= 3 and n_rejected > n_night / 2
union all
select
    source_id,
    false as is_variable,
    format(
        '{:.1f} mag {} than the target, at most {:.1f}',
        abs(redder_mag),
        case when redder_mag > 0 then 'redder' else 'bluer' end,
        $max_redder_mag::double
    ) as reason
from colour_difference
where abs(redder_mag) > $max_redder_mag::double
order by is_variable desc, source_id, reason;
