-- How variable the stars of a field are, over all nights: what all stars of a frame do together is
-- taken out, then indices are made of each star's residual magnitudes. The interquartile range; von
-- Neumann's eta, mean square of successive differences over variance (2 for white noise, less for slow
-- changes: von Neumann 1941); Stetson's J over pairs of successive frames within half an hour (Stetson
-- 1996); reduced chi-square with the errors; and the excess: scatter over that of the 24 stars nearest in
-- brightness. scatter_mag is 1.4826 times the median absolute deviation. rank_sum adds the ranks by
-- excess, J, 1/eta and chi-square: the smallest is the most suspicious. Only frames count in which the
-- star's flags speak for it (is_steady); coverage is their share of the frames of its nights that have
-- any such star, and stars seen on less than 0.9 of them, as at the edge of a drifting field, are doubtful
-- and come last. One row per source, band and aperture with at least ten such frames. $field is a number or a name.
-- $night $band $aperture_id
with chosen as (
    select
        light_curve.field_id,
        light_curve.source_id,
        light_curve.band,
        light_curve.aperture_id,
        light_curve.frame_id,
        light_curve.night,
        light_curve.mid_jd_utc,
        light_curve.instrumental_mag as mag,
        light_curve.instrumental_mag_err as mag_err,
        is_steady(light_curve.flags) as is_steady
    from light_curve
    join field using (field_id)
    where
        (
            $field is null
            or field.field_id::varchar = $field::varchar
            or name_key(field.field_name) = name_key($field::varchar)
        )
        and ($night is null or light_curve.night = $night::date)
        and ($band is null or light_curve.band = $band)
        and ($aperture_id is null or light_curve.aperture_id = $aperture_id::smallint)
),

point as (
    select *
    from chosen
    where is_steady and mag is not null
),

night_length as (
    select
        field_id,
        band,
        night,
        count(distinct frame_id) as n_night_frame
    from point
    group by all
),

star_night as (
    select distinct field_id, source_id, band, aperture_id, night
    from chosen
),

awaited as (
    select
        star_night.field_id,
        star_night.source_id,
        star_night.band,
        star_night.aperture_id,
        sum(n_night_frame) as n_awaited
    from star_night
    join night_length
        on night_length.field_id = star_night.field_id
        and night_length.night = star_night.night
        and night_length.band is not distinct from star_night.band
    group by all
),

relative as (
    select
        point.*,
        mag - median(mag) over star_curve as late_mag,
        percent_rank() over (
            partition by field_id, band, aperture_id, frame_id
            order by mag
        ) as faintness
    from point
    window star_curve as (partition by field_id, source_id, band, aperture_id)
),

-- the brighter half of the stars tells what a frame does
steadied as (
    select
        relative.*,
        late_mag - median(case when faintness <= 0.5 then late_mag end) over of_frame as residual_mag
    from relative
    window of_frame as (partition by field_id, band, aperture_id, frame_id)
),

centred as (
    select
        steadied.*,
        residual_mag - avg(residual_mag) over star_curve as delta_mag,
        count(*) over star_curve as n_frame
    from steadied
    window star_curve as (partition by field_id, source_id, band, aperture_id)
),

stepped as (
    select
        centred.*,
        delta_mag - lag(delta_mag) over in_time as step_mag,
        mid_jd_utc - lag(mid_jd_utc) over in_time as step_d,
        sqrt(n_frame / (n_frame - 1)) * delta_mag / mag_err as deviation,
        lag(sqrt(n_frame / (n_frame - 1)) * delta_mag / mag_err) over in_time
        as deviation_before
    from centred
    where n_frame >= 10
    window in_time as (
        partition by field_id, source_id, band, aperture_id
        order by mid_jd_utc, frame_id
    )
),

judged as (
    select
        field_id,
        source_id,
        band,
        aperture_id,
        count(*) as n_frame,
        median(mag) as instrumental_mag,
        1.4826 * mad(residual_mag) as scatter_mag,
        quantile_cont(residual_mag, 0.75) - quantile_cont(residual_mag, 0.25) as iqr_mag,
        avg(pow(step_mag, 2)) / nullif(var_samp(delta_mag), 0) as von_neumann_eta,
        avg(
            sign(deviation * deviation_before) * sqrt(abs(deviation * deviation_before))
        ) filter (where step_d <= 1.0 / 48) as stetson_j,
        sum(pow(delta_mag / mag_err, 2)) / (count(mag_err) - 1) as chi2_reduced
    from stepped
    group by field_id, source_id, band, aperture_id
),

expected as (
    select
        judged.*,
        median(scatter_mag) over (
            partition by field_id, band, aperture_id
            order by instrumental_mag
            rows between 12 preceding and 12 following
        ) as expected_scatter_mag
    from judged
),

ranked as (
    select
        expected.*,
        scatter_mag / nullif(expected_scatter_mag, 0) as excess,
        rank() over (
            partition by field_id, band, aperture_id
            order by scatter_mag / nullif(expected_scatter_mag, 0) desc nulls last
        ) as place_excess,
        rank() over (
            partition by field_id, band, aperture_id order by stetson_j desc nulls last
        ) as place_j,
        rank() over (
            partition by field_id, band, aperture_id order by von_neumann_eta asc nulls last
        ) as place_eta,
        rank() over (
            partition by field_id, band, aperture_id order by chi2_reduced desc nulls last
        ) as place_chi2
    from expected
)

select
    ranked.source_id,
    ranked.field_id,
    ranked.band,
    ranked.aperture_id,
    n_frame,
    n_frame / n_awaited as coverage,
    n_frame / n_awaited < 0.9 as is_doubtful,
    instrumental_mag,
    scatter_mag,
    expected_scatter_mag,
    excess,
    iqr_mag,
    von_neumann_eta,
    stetson_j,
    chi2_reduced,
    place_excess + place_j + place_eta + place_chi2 as rank_sum
from ranked
join awaited
    on awaited.field_id = ranked.field_id
    and awaited.source_id = ranked.source_id
    and awaited.aperture_id = ranked.aperture_id
    and awaited.band is not distinct from ranked.band
order by is_doubtful, rank_sum, ranked.source_id, ranked.band, ranked.aperture_id;
