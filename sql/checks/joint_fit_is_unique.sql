-- No two rows of joint_fit share joint_fit_id.
select joint_fit_id
from joint_fit
group by joint_fit_id
having count(*) > 1;
