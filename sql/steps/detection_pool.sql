-- Detections that decide about the stars of a field: its own, and on the sky those of other fields
-- within a circle. The step registers `new_detection` and `new_search`, and `renewed` (search_id),
-- searches that are made anew or gone. One row per detection.
-- $field_id, $ra_deg, $dec_deg, $radius_deg (null: the field is not on the sky)
with every as (
    select *
    from detection
    anti join renewed using (search_id)
    union all by name
    select *
    from new_detection
),

looked as (
    select *
    from search
    anti join renewed using (search_id)
    union all by name
    select *
    from new_search
)

select
    every.*,
    looked.n_detection,
    looked.fwhm_pix as search_fwhm_pix,
    best_frame.content_hash,
    jyear_of(frame.mid_utc) as epoch_jyear,
    coalesce(wcs.scale_arcsec_per_pix, field.scale_arcsec_per_pix) as scale_arcsec_per_pix,
    wcs.rms_arcsec
from every
join looked using (search_id)
join field on field.field_id = every.field_id
join frame on frame.frame_id = every.frame_id
join frame as best_frame on best_frame.frame_id = looked.frame_id
left join wcs on wcs.frame_id = field.reference_frame_id
where
    every.field_id = $field_id::integer
    or (
        abs(every.dec_deg - $dec_deg::double) <= $radius_deg::double
        and separation_of(
            unit_vector(every.ra_deg, every.dec_deg),
            unit_vector($ra_deg::double, $dec_deg::double)
        ) <= 3600 * $radius_deg::double
    );
