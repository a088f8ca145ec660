-- A ramp has one linearity factor at a level.
select
    camera_id,
    night,
    band,
    gain_setting,
    x_binning,
    readout_mode,
    level_adu,
from linearity_point
group by camera_id, night, band, gain_setting, x_binning, readout_mode, level_adu
having count(*) > 1;
