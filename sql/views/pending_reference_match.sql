-- Fields whose sources were not yet matched, where they are now, with the newest stars of every
-- catalogue. One row per field.
-- column sources_hash: of the positions of its sources
-- column n_source: sources with a position
create or replace view pending_reference_match as
with placed as (
    select
        field_id,
        bit_xor(hash(source_id, ra_deg, dec_deg, first_frame_id))::varchar as sources_hash,
        count(*) as n_source
    from source
    where ra_deg is not null
    group by field_id
),

newest as (
    select
        catalogue_name,
        max(catalogue_id) as catalogue_id
    from reference_catalogue
    where has_position
    group by catalogue_name
)

select distinct
    placed.field_id,
    placed.sources_hash,
    placed.n_source
from placed
cross join newest
anti join reference_field using (field_id, catalogue_name, catalogue_id, sources_hash);
