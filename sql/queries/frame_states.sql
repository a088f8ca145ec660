-- How many frames are in which state. One row per frame type and state.
select
    coalesce(frame_type, 'unknown') as frame_type,
    state,
    count(*) as n_frames
from frame_state
group by all
order by frame_type, state;
