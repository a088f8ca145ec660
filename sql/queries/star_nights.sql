-- Nights and bands in which a star was measured. One row per night and band. $source_id
select
    frame.night,
    frame.band,
    count(*) as n_frames
from measurement
join frame using (frame_id)
where measurement.source_id = $source_id::integer
group by all
order by frame.night, frame.band;
