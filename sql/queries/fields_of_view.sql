-- How wide the frames of each field are on the sky. One row per field and width.
select
    field.field_name,
    max(
        coalesce(wcs.scale_arcsec_per_pix, field.scale_arcsec_per_pix, frame.scale_arcsec_per_pix)
        * greatest(frame.n_x_pix, frame.n_y_pix) / 60
    ) as width_arcmin,
    count(*) as n_frame,
    count(wcs.frame_id) as n_on_sky
from frame
join field_frame using (frame_id)
join field using (field_id)
left join wcs using (frame_id)
group by field.field_name, frame.camera_id, frame.n_x_pix, frame.n_y_pix
order by field.field_name, width_arcmin;
