-- Comparison stars of a target that were pinned, banned or set free by hand. One row per star.
-- $source_id (the target; null: all targets)
select *
from comparison_choice
where $source_id is null or target_source_id = $source_id::integer
order by target_source_id, source_id;
