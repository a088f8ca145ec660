-- Where the frames of a star's light curve come from. One row per frame, in time order.
-- $source_id, $night, $band
select
    frame.frame_id,
    min(path.path) as path,
    frame.content_hash,
    frame.mid_utc,
    frame.time_source,
    calibration.reason,
    camera.camera_name,
    camera.telescope_name,
    site.site_name,
    site.latitude_deg,
    site.longitude_deg
from measurement
join frame using (frame_id)
join camera using (camera_id)
left join site using (site_id)
left join calibration using (frame_id)
left join path using (frame_id)
where
    measurement.source_id = $source_id::integer
    and frame.night = $night::date
    and frame.band is not distinct from $band::varchar
group by all
order by frame.mid_utc, frame.frame_id;
