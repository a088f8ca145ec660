-- Light curves of all stars over the stored zero points of the inhomogeneous ensemble: frames of all
-- nights on one zero point. One row per frame, source and aperture that has a stored solution.
-- requires: light_curve
-- column steadied_mag: unit=mag; instrumental magnitude less the zero point of the frame
-- column steadied_mag_err: unit=mag; of star and zero point together
-- column residual_mag: unit=mag; steadied_mag less the mean of the star
create or replace view ensemble_light_curve as
select
    light_curve.*,
    ensemble_frame.zero_mag,
    light_curve.instrumental_mag - ensemble_frame.zero_mag as steadied_mag,
    sqrt(
        pow(light_curve.instrumental_mag_err, 2) + pow(ensemble_frame.zero_err_mag, 2)
    ) as steadied_mag_err,
    light_curve.instrumental_mag - ensemble_frame.zero_mag - ensemble_source.mean_mag
    as residual_mag
from light_curve
join ensemble_frame using (frame_id, aperture_id)
left join ensemble_source on
    ensemble_source.source_id = light_curve.source_id
    and ensemble_source.aperture_id = light_curve.aperture_id
    and ensemble_source.band is not distinct from light_curve.band;
