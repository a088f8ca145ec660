-- What is known under a name: stars that a person tied to it, and planets or hosts of that name.
-- Ties come first, then the newest ephemeris. One row per tie or planet. $target_name
select
    1 as rank,
    identity.target_name,
    identity.source_id,
    null::double as ra_deg,
    null::double as dec_deg,
    identity.tied_utc as known_utc
from identity
where
    identity.target_key = name_key($target_name)
    or identity.target_key in (
        select planet_key
        from planet
        where name_key(host_name) = name_key($target_name)
    )
    or identity.target_key in (
        select name_key(host_name)
        from planet
        where planet_key = name_key($target_name)
    )
union all
select
    2 as rank,
    planet_name as target_name,
    null as source_id,
    ra_deg,
    dec_deg,
    imported_utc as known_utc
from planet
where name_key($target_name) in (planet_key, name_key(host_name))
order by rank, known_utc desc;
