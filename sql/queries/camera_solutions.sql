-- Sky solutions of a camera's frames that rest on stars, best first: those with most of them.
-- One row per frame. $camera
select
    wcs.frame_id,
    frame.night,
    frame.band,
    frame.pier_side,
    frame.n_x_pix,
    frame.n_y_pix,
    wcs.method,
    wcs.n_star,
    wcs.rms_arcsec,
    wcs.scale_arcsec_per_pix,
    wcs.cards
from wcs
join frame using (frame_id)
join camera using (camera_id)
where camera.camera_name = $camera
order by wcs.method = 'header', wcs.method = 'field', wcs.n_star desc nulls last, wcs.frame_id desc;
