-- No two rows of reference_catalogue share catalogue_id.
select catalogue_id
from reference_catalogue
group by catalogue_id
having count(*) > 1;
