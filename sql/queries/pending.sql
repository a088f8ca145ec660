-- What is still to do. One row per step.
select
    'vantage' as step,
    count(*) as n_frames
from pending_vantage
union all
select
    'master' as step,
    count(*) as n_frames
from pending_master
union all
select
    'level' as step,
    count(*) as n_frames
from pending_level
union all
select
    'gain' as step,
    count(*) as n_frames
from pending_gain
union all
select
    'field' as step,
    count(*) as n_frames
from pending_field
union all
select
    'reference' as step,
    count(*) as n_frames
from pending_reference
union all
select
    'search' as step,
    count(*) as n_frames
from pending_search
union all
select
    'solution' as step,
    count(*) as n_frames
from pending_solution
union all
select
    'sky' as step,
    count(*) as n_frames
from pending_sky
union all
select
    'photometry' as step,
    count(*) as n_frames
from pending_photometry
union all
select
    'crossmatch' as step,
    count(*) as n_frames
from pending_reference_match
union all
select
    'star scatter' as step,
    count(*) as n_frames
from pending_star_scatter
union all
select
    'transparency' as step,
    coalesce(sum(len(frame_ids)), 0)::bigint as n_frames
from pending_transparency
union all
select
    'zero point' as step,
    count(*) as n_frames
from pending_zero_point;
