-- Measured frames that lack stars found later; `run --complete` measures them again. One row per
-- field and night.
select
    field.field_id,
    field.field_name,
    frame.night,
    count(*) as n_frames,
    max(incomplete_photometry.n_unmeasured) as n_unmeasured
from incomplete_photometry
join field using (field_id)
join frame using (frame_id)
group by field.field_id, field.field_name, frame.night
order by field.field_id, frame.night;
