-- Frames and their places on the sky: how they were found, what confirmed them, how well the stars
-- agree. One row per light frame that has a place on its field or on the sky.
-- $field_id, $frame_id; null: all
select
    frame.frame_id,
    field_frame.field_id,
    parse_filename(path.path) as file_name,
    frame.n_x_pix,
    frame.n_y_pix,
    wcs.method,
    wcs.catalogue_name,
    wcs.scale_arcsec_per_pix,
    wcs.rotation_deg,
    wcs.is_mirrored,
    quality.n_star,
    quality.n_left_out,
    quality.median_residual_pix,
    quality.median_residual_arcsec,
    quality.rms_residual_pix,
    quality.max_residual_pix,
    quality.rms_inner_pix,
    quality.rms_outer_pix,
    quality.quadrant_offset_pix,
    wcs.verdict
from frame
join field_frame using (frame_id)
left join (
    select
        frame_id,
        min(path) as path
    from path
    group by frame_id
) as path using (frame_id)
left join wcs using (frame_id)
left join wcs_quality as quality using (frame_id)
where
    (wcs.frame_id is not null or quality.frame_id is not null)
    and field_frame.field_id = coalesce($field_id::integer, field_frame.field_id)
    and frame.frame_id = coalesce($frame_id::integer, frame.frame_id)
order by field_frame.field_id, frame.mid_utc, frame.frame_id;
