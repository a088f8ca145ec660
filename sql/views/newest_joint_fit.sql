-- The newest joint fit of each planet whose transits have times of their own. One row per planet.
-- column planet_name: of the ephemeris it was made with
create or replace view newest_joint_fit as
select
    planet.planet_key,
    planet.planet_name,
    joint_fit.joint_fit_id,
    joint_fit.parameters
from joint_fit
join planet using (planet_id)
where joint_fit.time_model = 'free'
qualify row_number() over (
    partition by planet.planet_key
    order by joint_fit.fitted_utc desc, joint_fit.joint_fit_id desc
) = 1;
