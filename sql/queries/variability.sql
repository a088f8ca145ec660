-- How variable the stars of a field are, over all nights: what all stars of a frame do together is
-- taken out, then indices are made of each star's residual magnitudes. The interquartile range; von
-- Neumann's eta, mean square of successive differences over variance (2 for white noise, less for slow
-- changes: von Neumann 1941); Stetson's J over pairs of successive frames within half an hour (Stetson
-- 1996); reduced chi-square with the errors; and the excess: scatter over that of the 24 stars nearest in
-- brightness. scatter_mag is 1.4826 times the median absolute deviation. rank_sum adds the ranks by
-- excess, J, 1/eta and chi-square: the smallest is the most suspicious. One row per source, band and
-- aperture with at least ten clean frames. $field is a number or a name. $night $band $aperture_id
with point as (
    select
        light_curve.field_id,
        light_curve.source_id,
        light_curve.band,
        light_curve.aperture_id,
        light_curve.frame_id,
        light_curve.mid_jd_utc,
        light_curve.instrumental_mag as mag,
        light_curve.instrumental_mag_err as mag_err
    from light_curve
    join field using (field_id)
    where
        light_curve.is_clean
        and light_curve.instrumental_mag is not null
        and (
            $field is null
            or field.field_id::varchar = $field::varchar
            or name_key(field.field_name) = name_key($field::varchar)
        )
        and ($night is null or light_curve.night = $night::date)
        and ($band is null or light_curve.band = $band)
        and ($aperture_id is null or light_curve.aperture_id = $aperture_id::smallint)
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
    source_id,
    field_id,
    band,
    aperture_id,
    n_frame,
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
order by rank_sum, source_id, band, aperture_id;
