-- Files that light curves and mid-times of others came from. One row per file.
-- $planet_key, $curves
select
    file_name,
    content_hash
from foreign_curve
where foreign_curve_id in (select unnest($curves::integer[]))
union
select
    file_name,
    content_hash
from published_transit
where planet_key = $planet_key
order by file_name, content_hash;
