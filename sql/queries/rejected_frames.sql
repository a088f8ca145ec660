-- Frames that were measured and are not good enough, with every reason. One row per frame. $night
select
    frame_verdict.night,
    frame.mid_utc,
    frame_verdict.band,
    field.field_name as field,
    any_value(path.path) as path,
    array_to_string(frame_verdict.reasons, '; ') as reasons
from frame_verdict
join frame using (frame_id)
join field using (field_id)
left join path using (frame_id)
where frame_verdict.is_rejected and ($night is null or frame_verdict.night = $night::date)
group by all
order by frame_verdict.night, frame.mid_utc;
