-- No two rows of foreign_point share foreign_curve_id and point_number.
select
    foreign_curve_id,
    point_number,
from foreign_point
group by foreign_curve_id, point_number
having count(*) > 1;
