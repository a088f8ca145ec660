-- Bands in which a field was measured. One row per band. $field_id
select
    frame.band,
    count(distinct frame.frame_id) as n_frame,
    count(distinct measurement.source_id) as n_star
from measurement
join frame using (frame_id)
join field_frame using (frame_id)
where field_frame.field_id = $field_id::integer
group by frame.band
order by frame.band;
