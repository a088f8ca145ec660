-- Comparison stars are known sources other than their target; the weights of those used sum to one.
select
    target_source_id,
    night,
    band,
    aperture_id
from comparison_star
anti join source using (source_id)
union all
select
    target_source_id,
    night,
    band,
    aperture_id
from comparison_star
where is_used and (source_id = target_source_id or weight is null)
union all
select
    target_source_id,
    night,
    band,
    aperture_id
from comparison_star
where is_used
group by target_source_id, night, band, aperture_id
having abs(sum(weight) - 1) > 1e-6;
