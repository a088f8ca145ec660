-- New frames of a planned ingest (`new_frame`). One row per night, type, band and exposure.
select
    frame.night,
    coalesce(frame.frame_type, 'unknown') as frame_type,
    frame.band,
    frame.exposure_s,
    count(*) as n_frames
from frame
semi join new_frame using (frame_id)
group by all
order by frame.night, frame_type, frame.band, frame.exposure_s;
