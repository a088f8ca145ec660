-- Light curves made elsewhere of a target. One row per point, in time order. $target_name
select *
from combined_light_curve
where
    origin = 'foreign'
    and ($target_name is null or target_key = name_key($target_name))
order by foreign_curve_id, mid_bjd_tdb;
