-- What the newest joint fit of a planet (with free times) and its refined ephemeris say beside what was
-- published: every version of the ephemeris that was imported, the newest of each source. One row per
-- planet, quantity and source; where nothing is published, one row without a source.
-- requires: newest_joint_fit
-- requires: refined_ephemeris
-- column quantity: radius_ratio, a_over_r, impact_parameter, inclination_deg, mid_bjd_tdb, period_d
-- column band: of a radius ratio
-- column found: by the fit, in the unit its name ends with
-- column found_err: 1-sigma
-- column published_err: 1-sigma
-- column prior_err: width of the prior the fit had from the newest ephemeris; null: free
-- column published: of mid_bjd_tdb as the published ephemeris predicts it for that transit
-- column published_source: file and reference
-- column difference_sigma: found less published over both errors; null: neither is known
create or replace view planet_result as
with parameter as (
    select
        newest_joint_fit.planet_key,
        newest_joint_fit.planet_name,
        split_part(each.key, ' ', 1) as quantity,
        nullif(substr(each.key, length(split_part(each.key, ' ', 1)) + 2), '') as band,
        (each.value ->> 'value')::double as found,
        (each.value ->> 'err')::double as found_err,
        (each.value ->> 'prior_err')::double as prior_err
    from newest_joint_fit, json_each(newest_joint_fit.parameters) as each
),

measured as (
    select *
    from parameter
    where quantity in ('radius_ratio', 'a_over_r', 'impact_parameter', 'inclination_deg')
    union all
    select
        planet_key,
        planet_name,
        'mid_bjd_tdb' as quantity,
        null as band,
        mid_bjd_tdb as found,
        mid_err_d as found_err,
        null as prior_err
    from refined_ephemeris
    union all
    select
        planet_key,
        planet_name,
        'period_d' as quantity,
        null as band,
        period_d as found,
        period_err_d as found_err,
        null as prior_err
    from refined_ephemeris
    where period_err_d is not null
),

literature as (
    select
        planet.*,
        round((refined_ephemeris.mid_bjd_tdb - planet.mid_bjd_tdb) / planet.period_d) as n_later
    from planet
    left join refined_ephemeris using (planet_key)
    where not starts_with(planet.source, 'refined by starmuster')
    qualify row_number() over (
        partition by planet.planet_key, planet.source
        order by planet.imported_utc desc, planet.planet_id desc
    ) = 1
),

published as (
    select planet_key, source, 'radius_ratio' as quantity, radius_ratio as published,
        radius_ratio_err as published_err
    from literature
    union all
    select planet_key, source, 'a_over_r', a_over_r, a_over_r_err
    from literature
    union all
    select planet_key, source, 'inclination_deg', inclination_deg, inclination_err_deg
    from literature
    union all
    select planet_key, source, 'impact_parameter', impact_parameter, null
    from literature
    union all
    select planet_key, source, 'period_d', period_d, period_err_d
    from literature
    union all
    select
        planet_key,
        source,
        'mid_bjd_tdb',
        mid_bjd_tdb + n_later * period_d,
        sqrt(
            pow(mid_err_d, 2) + pow(n_later * coalesce(period_err_d, 0), 2)
            + 2 * n_later * coalesce(covariance_d2, 0)
        )
    from literature
)

select
    measured.planet_key,
    measured.planet_name,
    measured.quantity,
    measured.band,
    measured.found,
    measured.found_err,
    measured.prior_err,
    published.published,
    published.published_err,
    published.source as published_source,
    (measured.found - published.published) / nullif(
        sqrt(
            pow(coalesce(measured.found_err, 0), 2) + pow(coalesce(published.published_err, 0), 2)
        ),
        0
    ) as difference_sigma
from measured
left join published
    on published.planet_key = measured.planet_key
    and published.quantity = measured.quantity
    and published.published is not null;
