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
    field_star.source_id,
    field_star.x_pix,
    field_star.y_pix,
    field_star.ra_deg,
    field_star.dec_deg,
    field_star.flux_adu,
    latest.is_used
from field_star
left join latest using (source_id)
where field_star.field_id = $field_id
order by field_star.flux_adu desc, field_star.source_id;
