-- Ephemeris of a planet by weighted least squares through all its known mid-transit times that have
-- an error: a straight line in the number of the transit, and what a parabola would add to it. It is
-- a view, so that every new fit and every imported time updates it. Errors are scaled by
-- sqrt(chi2 / degrees of freedom) where that is more than 1, never down. One row per planet.
-- requires: newest_ephemeris
-- requires: transit_time
-- column n_time: mid-transit times with an error
-- column epoch: transits from the newest ephemeris' zero to mid_bjd_tdb: the weighted middle
-- column first_epoch: of the earliest time, as epoch
-- column last_epoch: of the latest time, as epoch
-- column period_err_d: unit=d; scaled; null with less than two different transits
-- column mid_err_d: unit=d; scaled
-- column covariance_d2: unit=d2; of mid_bjd_tdb and period_d, scaled
-- column chi2: of the straight line, with the errors as quoted
-- column n_degree: degrees of freedom of the straight line
-- column error_scale: factor by which the errors were scaled
-- column quadratic_d: unit=d; change of the mid-time with the square of the transit number
-- column quadratic_err_d: unit=d; scaled by the parabola's own residuals; null below 4 times
-- column quadratic_sigma: how many of its errors the quadratic term is from zero
-- column chi2_quadratic: of the parabola
-- column delta_bic_quadratic: BIC of the line less that of the parabola; above 0 speaks for the parabola
-- column period_change_ms_per_yr: unit=ms/yr; what the quadratic term would mean for the period
create or replace view refined_ephemeris as
with time_known as (
    select
        planet_key,
        epoch,
        o_minus_c_min / 1440 as late_d,
        pow(mid_err_d, -2) as weight
    from transit_time
    where mid_err_d > 0
),

middle as (
    select
        planet_key,
        round(sum(weight * epoch) / sum(weight))::integer as zero_epoch,
        sum(weight * epoch) / sum(weight) as mean_epoch
    from time_known
    group by planet_key
),

centred as (
    select
        time_known.*,
        middle.zero_epoch,
        zero_epoch - mean_epoch as zero_x,
        time_known.epoch - mean_epoch as x
    from time_known
    join middle using (planet_key)
),

power as (
    select
        planet_key,
        zero_epoch,
        zero_x,
        count(*) as n_time,
        count(distinct epoch) as n_epoch,
        min(epoch) as first_epoch,
        max(epoch) as last_epoch,
        sum(weight) as s0,
        sum(weight * pow(x, 2)) as s2,
        sum(weight * pow(x, 3)) as s3,
        sum(weight * late_d) / sum(weight) as mean_late_d,
        case
            when count(distinct epoch) > 1 then sum(weight * x * late_d) / sum(weight * pow(x, 2))
        end as slope_d
    from centred
    group by planet_key, zero_epoch, zero_x
),

-- the parabola is orthogonal to the line: its coefficient and what it takes off chi2 stand alone
residual as (
    select
        centred.planet_key,
        centred.weight,
        centred.late_d - power.mean_late_d - coalesce(power.slope_d, 0) * centred.x as left_d,
        pow(centred.x, 2) - power.s3 / nullif(power.s2, 0) * centred.x - power.s2 / power.s0 as bend
    from centred
    join power using (planet_key)
),

fitted as (
    select
        planet_key,
        sum(weight * pow(left_d, 2)) as chi2,
        sum(weight * bend * left_d) / nullif(sum(weight * pow(bend, 2)), 0) as quadratic_d,
        sum(weight * pow(bend, 2)) as bend_weight
    from residual
    group by planet_key
),

judged as (
    select
        power.*,
        fitted.chi2,
        greatest(power.n_time - least(power.n_epoch, 2), 0) as n_degree,
        case when power.n_epoch > 3 then fitted.quadratic_d end as quadratic_d,
        fitted.bend_weight,
        fitted.chi2 - pow(fitted.quadratic_d, 2) * fitted.bend_weight as chi2_quadratic
    from power
    join fitted using (planet_key)
),

scaled as (
    select
        *,
        case when n_degree > 0 then greatest(1, sqrt(chi2 / n_degree)) else 1 end as error_scale,
        greatest(1, sqrt(greatest(chi2_quadratic, 0) / greatest(n_time - 3, 1))) as bend_scale
    from judged
)

select
    scaled.planet_key,
    newest_ephemeris.planet_name,
    scaled.n_time,
    scaled.zero_epoch as epoch,
    scaled.first_epoch,
    scaled.last_epoch,
    newest_ephemeris.mid_bjd_tdb + newest_ephemeris.period_d * scaled.zero_epoch
    + scaled.mean_late_d + coalesce(scaled.slope_d, 0) * scaled.zero_x as mid_bjd_tdb,
    scaled.error_scale
    * sqrt(1 / scaled.s0 + case when scaled.n_epoch > 1 then pow(scaled.zero_x, 2) / scaled.s2 else 0 end)
    as mid_err_d,
    newest_ephemeris.period_d + coalesce(scaled.slope_d, 0) as period_d,
    case when scaled.n_epoch > 1 then scaled.error_scale / sqrt(scaled.s2) end as period_err_d,
    case
        when scaled.n_epoch > 1 then pow(scaled.error_scale, 2) * scaled.zero_x / scaled.s2
    end as covariance_d2,
    scaled.chi2,
    scaled.n_degree,
    scaled.error_scale,
    scaled.quadratic_d,
    case
        when scaled.quadratic_d is not null then scaled.bend_scale / sqrt(scaled.bend_weight)
    end as quadratic_err_d,
    abs(scaled.quadratic_d) * sqrt(scaled.bend_weight) / scaled.bend_scale as quadratic_sigma,
    case when scaled.quadratic_d is not null then scaled.chi2_quadratic end as chi2_quadratic,
    case
        when scaled.quadratic_d is not null then
            (scaled.chi2 - scaled.chi2_quadratic) / pow(scaled.bend_scale, 2) - ln(scaled.n_time)
    end as delta_bic_quadratic,
    2 * scaled.quadratic_d / newest_ephemeris.period_d * 365.25 * 86400 * 1000
    as period_change_ms_per_yr
from scaled
join newest_ephemeris using (planet_key);
