-- Stars of a field for a finding chart, brightest first, with what is known of them as comparison
-- stars of a target on its latest night. One row per source. $field_id, $target_source_id
with latest as (
    select *
    from comparison_star
    where target_source_id = $target_source_id
    qualify
        rank() over (order by night desc, band, aperture_id) = 1
)

select
    source.source_id,
    source.x_pix,
    source.y_pix,
    source.ra_deg,
    source.dec_deg,
    source.flux_adu,
    latest.is_used
from source
left join latest using (source_id)
where source.field_id = $field_id
order by source.flux_adu desc, source.source_id;
