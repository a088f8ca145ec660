-- No two rows of foreign_curve share foreign_curve_id.
select foreign_curve_id
from foreign_curve
group by foreign_curve_id
having count(*) > 1;
