-- No two rows of reference_field share field and catalogue.
select
    field_id,
    catalogue_name
from reference_field
group by all
having count(*) > 1;
