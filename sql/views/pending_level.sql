-- Calibration frames whose level and noise have not been looked at. One row per frame.
create or replace view pending_level as
select
    frame.frame_id,
    frame.night,
    frame.hdu_index,
    frame.n_x_pix,
    frame.n_y_pix
from frame
anti join (select frame_id from product where step = 'level') as looked_at using (frame_id)
where frame.frame_type in ('bias', 'dark', 'darkflat', 'flat');
