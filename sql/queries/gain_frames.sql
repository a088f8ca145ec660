-- Flats and biases whose level is known, from which gains are measured, oldest first. One row per
-- frame.
select
    frame.frame_id,
    frame.frame_type,
    frame.camera_id,
    frame.night,
    frame.band,
    frame.exposure_s,
    frame.mid_utc,
    frame.x_binning,
    frame.y_binning,
    frame.n_x_pix,
    frame.n_y_pix,
    frame.gain_setting,
    frame.offset_setting,
    frame.readout_mode,
    frame.hdu_index,
    frame_level.level_adu,
    gain.recipe as gain_recipe,
    ramp.recipe as ramp_recipe
from frame
join frame_level using (frame_id)
left join product as gain on gain.frame_id = frame.frame_id and gain.step = 'gain'
left join product as ramp on ramp.frame_id = frame.frame_id and ramp.step = 'ramp'
where frame.frame_type in ('flat', 'bias') and frame.night is not null
order by frame.night, frame.frame_id;
