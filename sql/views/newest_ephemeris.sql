-- The ephemeris of each planet that counts: the one imported last. One row per planet.
create or replace view newest_ephemeris as
select *
from planet
qualify row_number() over (partition by planet_key order by imported_utc desc, planet_id desc) = 1;
