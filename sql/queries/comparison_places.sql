-- Where the comparison stars of a target are. One row per star. $source_id
select
    star.source_id,
    -- of its own: that of the field would be the same for all
    case when star.position_source = 'source' then star.ra_deg end as ra_deg,
    case when star.position_source = 'source' then star.dec_deg end as dec_deg,
    star.x_pix,
    star.y_pix
from star
semi join (
    from comparison_star
    where is_used and target_source_id = $source_id::integer
) as used using (source_id)
order by star.source_id;
