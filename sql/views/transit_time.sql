-- Every mid-transit time that is known of a planet, against its newest ephemeris: fits of single
-- nights (the newest of each night and band), transits of the newest joint fit with free times that no
-- such fit covers, and times that others published. One row per measured transit.
-- requires: newest_ephemeris
-- requires: newest_joint_fit
-- column origin: night (a fit of one night), joint (a joint fit), published
-- column transit_name: night and band, or the file it came from
-- column night: night of the light curve; null: published
-- column epoch: transits since the ephemeris' zero
-- column o_minus_c_min: unit=min; observed less predicted by the newest ephemeris
-- column is_partial: a part of the transit was not observed
create or replace view transit_time as
with night_fit as (
    select
        planet.planet_key,
        transit_fit.*
    from transit_fit
    join planet using (planet_id)
    qualify row_number() over (
        partition by planet.planet_key, transit_fit.night, transit_fit.band
        order by transit_fit.fitted_utc desc, transit_fit.transit_fit_id desc
    ) = 1
),

measured as (
    select
        planet_key,
        'night' as origin,
        concat_ws(' ', night::varchar, band) as transit_name,
        night,
        band,
        mid_bjd_tdb,
        mid_err_d,
        verdict = 'partial' as is_partial
    from night_fit
    where verdict in ('transit', 'partial') and mid_bjd_tdb is not null
    union all
    select
        newest_joint_fit.planet_key,
        'joint' as origin,
        joint_transit.curve_name as transit_name,
        joint_transit.night,
        joint_transit.band,
        joint_transit.mid_bjd_tdb,
        joint_transit.mid_err_d,
        false as is_partial
    from newest_joint_fit
    join joint_transit using (joint_fit_id)
    where
        joint_transit.foreign_curve_id is not null
        or not exists (
            from night_fit
            where
                night_fit.planet_key = newest_joint_fit.planet_key
                and night_fit.night = joint_transit.night
                and night_fit.band is not distinct from joint_transit.band
        )
    union all
    select
        planet_key,
        'published' as origin,
        concat(file_name, ':', line_number) as transit_name,
        null as night,
        null as band,
        mid_bjd_tdb,
        mid_err_d,
        false as is_partial
    from published_transit
)

select
    measured.planet_key,
    newest_ephemeris.planet_name,
    measured.origin,
    measured.transit_name,
    measured.night,
    measured.band,
    round(
        (measured.mid_bjd_tdb - newest_ephemeris.mid_bjd_tdb) / newest_ephemeris.period_d
    )::integer as epoch,
    measured.mid_bjd_tdb,
    measured.mid_err_d,
    1440 * (
        measured.mid_bjd_tdb - newest_ephemeris.mid_bjd_tdb - newest_ephemeris.period_d * epoch
    ) as o_minus_c_min,
    measured.is_partial
from measured
join newest_ephemeris using (planet_key);
