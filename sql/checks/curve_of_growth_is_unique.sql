-- A frame has one row for a radius of its curve of growth.
select
    frame_id,
    aperture_id,
    radius_pix,
from curve_of_growth
group by frame_id, aperture_id, radius_pix
having count(*) > 1;
