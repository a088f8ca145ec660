-- First and last time of a star in each night and band. One row per night and band. $source_id
select
    night,
    band,
    count(distinct frame_id) as n_frames,
    min(mid_bjd_tdb) as first_bjd_tdb,
    max(mid_bjd_tdb) as last_bjd_tdb
from light_curve
where source_id = $source_id::integer
group by all
order by night, n_frames desc, band;
