-- No two rows of variable_star share reference_star_id.
select reference_star_id
from variable_star
group by reference_star_id
having count(*) > 1;
