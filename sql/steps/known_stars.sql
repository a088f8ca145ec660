-- Stars that are known where those of a field are: its own, and on the sky all within a circle. One
-- row per source. $field_id, $ra_deg, $dec_deg, $radius_deg (null: the field is not on the sky)
with member as (
    select
        source_id,
        list(field_id order by field_id) as field_ids,
        first(x_pix) filter (where field_id = $field_id::integer) as x_pix,
        first(y_pix) filter (where field_id = $field_id::integer) as y_pix
    from field_star
    group by source_id
)

select
    source.*,
    member.field_ids,
    member.x_pix as x_field_pix,
    member.y_pix as y_field_pix,
    source.source_id in (from identity select source_id)
    or source.source_id in (from transit_fit select source_id) as is_tied
from source
join member using (source_id)
where
    member.x_pix is not null
    or (
        abs(source.dec_deg - $dec_deg::double) <= $radius_deg::double
        and separation_of(
            unit_vector(source.ra_deg, source.dec_deg),
            unit_vector($ra_deg::double, $dec_deg::double)
        ) <= 3600 * $radius_deg::double
    )
order by source.source_id;
