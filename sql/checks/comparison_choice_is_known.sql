-- Stars chosen by hand are known sources of the target's field, other than the target.
select
    comparison_choice.target_source_id,
    comparison_choice.source_id,
from comparison_choice
left join source using (source_id)
left join source as target on target.source_id = comparison_choice.target_source_id
where
    source.field_id is distinct from target.field_id
    or source.source_id is null
    or source.source_id = target.source_id
    or comparison_choice.choice not in ('pin', 'ban', 'free');
