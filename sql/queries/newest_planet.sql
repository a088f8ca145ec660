-- The newest ephemeris of a planet, by its name or its host's. One row per planet.
-- $planet_name
select *
from planet
where name_key($planet_name) in (planet_key, name_key(host_name))
qualify row_number() over (partition by planet_key order by imported_utc desc, planet_id desc) = 1
order by planet_key;
