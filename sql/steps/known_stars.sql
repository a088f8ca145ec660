-- Stars that are known where those of a field are: its own, and on the sky all within a circle. One
-- row per source. $field_id, $ra_deg, $dec_deg, $radius_deg (null: the field is not on the sky)
with own as (
    select
        source_id,
        x_pix,
        y_pix
    from field_star
    where field_id = $field_id::integer
),

here as (
    select source.*
    from source
    where
        source_id in (from own select source_id)
        or (
            abs(dec_deg - $dec_deg::double) <= $radius_deg::double
            and separation_of(
                unit_vector(ra_deg, dec_deg), unit_vector($ra_deg::double, $dec_deg::double)
            ) <= 3600 * $radius_deg::double
        )
),

member as (
    select
        source_id,
        list(field_id order by field_id) as field_ids
    from field_source
    where source_id in (from here select source_id)
    group by source_id
)

select
    here.*,
    coalesce(member.field_ids, [here.field_id]) as field_ids,
    own.x_pix as x_field_pix,
    own.y_pix as y_field_pix,
    here.source_id in (from identity select source_id)
    or here.source_id in (from transit_fit select source_id) as is_tied
from here
left join own using (source_id)
left join member using (source_id)
order by here.source_id;
