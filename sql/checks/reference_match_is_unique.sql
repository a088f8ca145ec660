-- No two rows of reference_match share source and catalogue.
select
    source_id,
    catalogue_name
from reference_match
group by all
having count(*) > 1;
