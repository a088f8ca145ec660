-- A star is chosen by hand once for a target.
select
    target_source_id,
    source_id,
from comparison_choice
group by target_source_id, source_id
having count(*) > 1;
