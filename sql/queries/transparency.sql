-- Transparency over a night: the light that came through, over that of the night's clearest quarter of
-- frames, from all stars that the frames of a field and band share (frame_transparency, median over
-- the apertures). One row per frame. $night
select
    frame_verdict.frame_id,
    frame.mid_utc,
    frame_verdict.field_id,
    frame_verdict.band,
    max(frame_transparency.n_star) as n_star,
    any_value(frame_verdict.transparency) as transparency
from frame_verdict
join frame using (frame_id)
join frame_transparency using (frame_id)
where frame_verdict.night = $night::date
group by frame_verdict.frame_id, frame.mid_utc, frame_verdict.field_id, frame_verdict.band
order by frame.mid_utc, frame_verdict.frame_id;
