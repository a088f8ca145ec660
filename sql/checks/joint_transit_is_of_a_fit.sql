-- Every transit of a joint fit belongs to one, and every joint fit has transits.
select joint_fit_id
from joint_fit
anti join joint_transit using (joint_fit_id)
union all
select joint_fit_id
from joint_transit
anti join joint_fit using (joint_fit_id);
