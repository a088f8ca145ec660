-- A camera has one ramp in a night, band and setting.
select
    camera_id,
    night,
    band,
    gain_setting,
    x_binning,
    readout_mode,
from ramp_fit
group by camera_id, night, band, gain_setting, x_binning, readout_mode
having count(*) > 1;
