-- No two rows of reference_star share reference_star_id.
select reference_star_id
from reference_star
group by reference_star_id
having count(*) > 1;
