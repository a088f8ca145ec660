-- No star is compared with a solution twice.
select
    frame_id,
    x_pix,
    y_pix
from wcs_residual
group by frame_id, x_pix, y_pix
having count(*) > 1;
