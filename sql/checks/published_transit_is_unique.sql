-- No two rows of published_transit share planet, file and line.
select
    planet_key,
    content_hash,
    line_number,
from published_transit
group by planet_key, content_hash, line_number
having count(*) > 1;
