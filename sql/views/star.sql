-- A source with the best position known: its own, that of the planet's host a person tied it to,
-- or the pointing of its field. One row per source.
-- column position_source: source, host (of the planet tied to it), field; null: none
create or replace view star as
with host as (
    select
        identity.source_id,
        first(planet order by planet.imported_utc desc, planet.planet_id desc) as planet
    from identity
    join planet on
        identity.target_key in (planet.planet_key, name_key(planet.host_name))
        and planet.ra_deg is not null
    group by identity.source_id
)

select
    source.source_id,
    source.field_id,
    field.field_name,
    coalesce(source.ra_deg, host.planet.ra_deg, field.ra_deg) as ra_deg,
    coalesce(source.dec_deg, host.planet.dec_deg, field.dec_deg) as dec_deg,
    case
        when source.ra_deg is not null then 'source'
        when host.planet.ra_deg is not null then 'host'
        when field.ra_deg is not null then 'field'
    end as position_source,
    source.x_pix,
    source.y_pix,
    source.flux_adu,
    source.flags
from source
join field using (field_id)
left join host using (source_id);
