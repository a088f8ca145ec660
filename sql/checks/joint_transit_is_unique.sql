-- No two rows of joint_transit share fit, curve, night and band.
select
    joint_fit_id,
    curve_name,
    night,
    band,
from joint_transit
group by joint_fit_id, curve_name, night, band
having count(*) > 1;
