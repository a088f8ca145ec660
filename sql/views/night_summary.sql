-- What each night holds. One row per night, camera, frame type, band and exposure.
-- column n_frames: number of frames
-- column n_measured: light frames with photometry
-- column first_utc: unit=UTC; middle of the first exposure
-- column last_utc: unit=UTC; middle of the last exposure
create or replace view night_summary as
select
    frame.night,
    camera.camera_name,
    frame.frame_type,
    frame.band,
    frame.exposure_s,
    count(*) as n_frames,
    count(frame_quality.frame_id) as n_measured,
    median(frame_quality.fwhm_pix) as fwhm_pix,
    median(frame_quality.sky_adu) as sky_adu,
    min(frame.mid_utc) as first_utc,
    max(frame.mid_utc) as last_utc
from frame
join camera using (camera_id)
left join frame_quality using (frame_id)
group by all
order by frame.night, camera.camera_name, frame.frame_type, frame.band, frame.exposure_s;
