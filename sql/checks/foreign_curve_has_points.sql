-- Every light curve made elsewhere has points, and every point a light curve.
select foreign_curve_id
from foreign_curve
anti join foreign_point using (foreign_curve_id)
union all
select foreign_curve_id
from foreign_point
anti join foreign_curve using (foreign_curve_id);
