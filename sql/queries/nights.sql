-- What each night holds, newest first. One row per night and camera.
select
    frame.night,
    camera.camera_name,
    list(distinct frame.band order by frame.band)
        filter (frame.frame_type = 'light' and frame.band is not null) as bands,
    count(*) filter (frame.frame_type = 'light') as n_light,
    count(*) filter (frame.frame_type = 'bias') as n_bias,
    count(*) filter (frame.frame_type in ('dark', 'darkflat')) as n_dark,
    count(*) filter (frame.frame_type = 'flat') as n_flat,
    count(*) filter (frame.frame_type is null) as n_unknown,
    count(frame_quality.frame_id) as n_measured,
    median(frame_quality.fwhm_pix) as fwhm_pix,
    median(frame_quality.sky_adu) as sky_adu,
    min(frame.mid_utc) as first_utc,
    max(frame.mid_utc) as last_utc
from frame
join camera using (camera_id)
left join frame_quality using (frame_id)
group by frame.night, camera.camera_id, camera.camera_name
order by frame.night desc nulls last, camera.camera_name;
