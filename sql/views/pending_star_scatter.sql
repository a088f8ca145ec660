-- Nights of a camera and band that were measured and have no gain but what the stars tell, and
-- whose stars were not asked in this way since the last frame came. One row per camera, night, band, setting.
-- requires: frame_noise
-- column frame_ids: frames of the night that were measured, table frame
create or replace view pending_star_scatter as
select
    frame.camera_id,
    frame.night,
    frame.band,
    frame.gain_setting,
    frame.x_binning,
    frame.readout_mode,
    list(frame.frame_id order by frame.frame_id) as frame_ids
from frame
join frame_quality using (frame_id)
join frame_noise using (frame_id)
left join product on
    product.frame_id = frame.frame_id
    and product.step = 'star scatter'
    and product.recipe = '2'
where
    coalesce(frame_noise.gain_source, 'star scatter') = 'star scatter'
    and frame.night is not null
group by all
having bool_or(product.frame_id is null);
