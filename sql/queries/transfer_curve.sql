-- Photon transfer curve of a camera with the gain measured that night. One row per pair of flats
-- and bin of level. $camera
select
    transfer_point.night,
    transfer_point.band,
    transfer_point.gain_setting,
    transfer_point.x_binning,
    transfer_point.readout_mode,
    transfer_point.first_frame_id,
    transfer_point.second_frame_id,
    transfer_point.level_adu,
    transfer_point.signal_adu,
    transfer_point.variance_adu2,
    transfer_point.n_tile,
    gain_fit.gain_e_per_adu
from transfer_point
join camera using (camera_id)
left join gain_fit on
    gain_fit.camera_id = transfer_point.camera_id
    and gain_fit.night = transfer_point.night
    and gain_fit.band is not distinct from transfer_point.band
    and gain_fit.gain_setting is not distinct from transfer_point.gain_setting
    and gain_fit.x_binning is not distinct from transfer_point.x_binning
    and gain_fit.readout_mode is not distinct from transfer_point.readout_mode
    and gain_fit.method = 'photon transfer'
where camera.camera_name = $camera
order by transfer_point.night, transfer_point.band, transfer_point.level_adu;
