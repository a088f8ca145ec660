-- Frames behind a diagram with what brings them onto a system or a level. One row per frame.
-- $field_id $aperture_id $bands
select
    frame.frame_id,
    frame.night,
    frame.band,
    frame.mid_utc,
    frame.exposure_s,
    frame_quality.fwhm_pix,
    zero_point.zero_point_mag,
    zero_point.zero_point_err_mag,
    zero_point.colour,
    zero_point.colour_term,
    zero_point.colour_term_err,
    zero_point.scatter_mag,
    zero_point.n_star,
    zero_point.catalogue_name,
    zero_point.photometric_system,
    zero_point.method,
    frame_transparency.dimming_mag,
    regexp_extract(any_value(path.path), '[^/\\]+$') as file_name,
    frame.content_hash
from frame
join field_frame using (frame_id)
join frame_quality using (frame_id)
left join path using (frame_id)
left join zero_point on
    zero_point.frame_id = frame.frame_id and zero_point.aperture_id = $aperture_id::smallint
left join frame_transparency on
    frame_transparency.frame_id = frame.frame_id
    and frame_transparency.aperture_id = $aperture_id::smallint
where
    field_frame.field_id = $field_id::integer
    and list_contains($bands::varchar[], frame.band)
group by all
order by frame.band, frame.mid_utc, frame.frame_id;
