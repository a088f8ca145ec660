-- Frames of a night that were offered to a master and left out. One row per master and frame. $night
select
    master.kind,
    master.band,
    master_frame.master_id,
    min(path.path) as path,
    master_frame.reason
from master_frame
join master using (master_id)
join frame using (frame_id)
left join path using (frame_id)
where not master_frame.is_used and frame.night = $night::date
group by all
order by master.kind, master.band, path;
