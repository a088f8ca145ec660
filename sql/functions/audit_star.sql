-- Scatter of each star against its quoted errors, in the steadiest aperture of its field, night and
-- band; of_night and of_band may be null: all. A star that scatters far more than stars of its
-- brightness do is not taken for constant. Degrees of freedom count what levels, dimmings and
-- gradients have taken, so that two frames are enough; the scatter is such that its median over many
-- stars is unbiased. The noise floor is what the bright stars (S/N 50 and more) scatter beyond their
-- errors: the mean excess of their variance, weighted by what it leaves them; null below 3 stars.
-- quoted_chi2 is with the quoted errors, chi2 with the floor added to them. One row per field, night,
-- band and source.
create or replace macro audit_star(of_night, of_band) as table
with point as materialized (
    select *
    from audit_point
    where
        (of_night is null or night = of_night::date)
        and (of_band is null or band = of_band)
),

rough as materialized (
    select
        field_id,
        night,
        band,
        source_id,
        any_value(level_mag) as level_mag,
        count(*) as n_point,
        count(*) - 1 as freedom,
        sum(pow(residual_mag, 2) / (pow(quoted_err_mag, 2) + pow(0.005, 2))) / (count(*) - 1)
            as excess
    from point
    group by field_id, night, band, source_id
),

binned as (
    select
        *,
        ntile(greatest(1, n_star // 10)::bigint) over (
            partition by field_id, night, band order by level_mag
        ) as bin
    from (
        select
            *,
            count(*) over (partition by field_id, night, band) as n_star
        from rough
    )
),

typical as materialized (
    select
        *,
        greatest(1, median(excess / chi2_quantile_ratio(freedom, 0)) over (
            partition by field_id, night, band, bin
        )) as typical_excess
    from binned
),

kept as materialized (
    select
        point.*,
        typical.excess <= typical.typical_excess * chi2_quantile_ratio(typical.freedom, 4)
            as is_constant
    from point
    join typical on
        typical.field_id = point.field_id
        and typical.night = point.night
        and typical.band is not distinct from point.band
        and typical.source_id = point.source_id
    where
        point.n_point <= 5
        or abs(point.residual_mag) <= 5 * sqrt(
            typical.typical_excess * (pow(point.quoted_err_mag, 2) + pow(0.005, 2))
        )
),

of_frame as materialized (
    select
        frame_id,
        sum(weight) as sum_weight,
        sum(weight * pow(u, 2)) as sum_u,
        sum(weight * pow(v, 2)) as sum_v
    from kept
    where is_constant
    group by frame_id
),

freed as materialized (
    select
        kept.*,
        (1 - star_share) * greatest(
            1 - weight / sum_weight - case
                when has_gradient then weight * (pow(u, 2) / sum_u + pow(v, 2) / sum_v)
                else 0
            end,
            0
        ) as freedom
    from kept
    join of_frame using (frame_id)
),

star as materialized (
    select
        field_id,
        night,
        band,
        aperture_id,
        source_id,
        any_value(level_mag) as level_mag,
        count(*) as n_point,
        sum(freedom) as freedom,
        sqrt(avg(pow(quoted_err_mag, 2))) as quoted_err_mag,
        sum(pow(residual_mag, 2)) as sum_square,
        sum(pow(residual_mag / quoted_err_mag, 2)) as quoted_chi2,
        bool_and(is_constant) as is_constant,
        bool_and(gain_source <> 'star scatter') as is_independent
    from freed
    group by field_id, night, band, aperture_id, source_id
    having sum(freedom) > 0.2
),

bright as materialized (
    select
        *,
        sum_square / freedom - pow(quoted_err_mag, 2) as excess
    from star
    where is_constant and quoted_err_mag < 0.02
),

floor_0 as materialized (
    select
        field_id,
        night,
        band,
        greatest(sum(freedom * excess / pow(quoted_err_mag ** 2 + 1e-5, 2))
        / sum(freedom / pow(quoted_err_mag ** 2 + 1e-5, 2)), 0) as variance
    from bright
    group by field_id, night, band
    having count(*) >= 3
),

floor_1 as materialized (
    select
        bright.field_id,
        bright.night,
        bright.band,
        greatest(sum(freedom * excess / pow(quoted_err_mag ** 2 + variance, 2))
        / sum(freedom / pow(quoted_err_mag ** 2 + variance, 2)), 0) as variance
    from bright
    join floor_0 on
        floor_0.field_id = bright.field_id
        and floor_0.night = bright.night
        and floor_0.band is not distinct from bright.band
    group by bright.field_id, bright.night, bright.band
),

with_floor as materialized (
    select
        freed.field_id,
        freed.night,
        freed.band,
        freed.source_id,
        sqrt(any_value(floor_1.variance)) as noise_floor_mag,
        sum(pow(residual_mag, 2) / (pow(quoted_err_mag, 2) + coalesce(floor_1.variance, 0)))
            as chi2
    from freed
    left join floor_1 on
        floor_1.field_id = freed.field_id
        and floor_1.night = freed.night
        and floor_1.band is not distinct from freed.band
    group by freed.field_id, freed.night, freed.band, freed.source_id
)

select
    star.field_id,
    star.night,
    star.band,
    star.aperture_id,
    star.source_id,
    star.level_mag,
    star.n_point,
    star.freedom,
    star.quoted_err_mag,
    sqrt(star.sum_square / star.freedom / chi2_quantile_ratio(star.freedom, 0)) as scatter_mag,
    star.quoted_chi2,
    with_floor.chi2,
    with_floor.noise_floor_mag,
    star.is_constant,
    star.is_independent
from star
join with_floor on
    with_floor.field_id = star.field_id
    and with_floor.night = star.night
    and with_floor.band is not distinct from star.band
    and with_floor.source_id = star.source_id;
