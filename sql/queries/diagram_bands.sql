-- Bands in which a field was measured. One row per band. $field_id
select
    frame.band,
    count(*) as n_frame
from frame_quality
join frame using (frame_id)
join field_frame using (frame_id)
where field_frame.field_id = $field_id::integer
group by frame.band
order by frame.band;
