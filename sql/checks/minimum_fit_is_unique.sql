-- A minimum is timed once for a source, night and band.
select
    source_id,
    night,
    band,
from minimum_fit
group by source_id, night, band
having count(*) > 1;
