-- Fitted transits with their predictions, newest fit of each night and band. One row per transit.
-- $planet_name
select
    planet.planet_name,
    transit_fit.* exclude (parameters)
from transit_fit
join planet using (planet_id)
where $planet_name is null or planet.planet_key = name_key($planet_name)
qualify row_number() over (
    partition by planet.planet_key, transit_fit.night, transit_fit.band
    order by transit_fit.fitted_utc desc, transit_fit.transit_fit_id desc
) = 1
order by planet.planet_name, transit_fit.night, transit_fit.band;
