-- A camera has one gain by each method in a night, band and setting.
select
    camera_id,
    night,
    band,
    method,
    gain_setting,
    x_binning,
    readout_mode,
from gain_fit
group by camera_id, night, band, method, gain_setting, x_binning, readout_mode
having count(*) > 1;
