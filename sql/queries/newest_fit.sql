-- The newest fit of a star's transit in a night and band. One row at most per star, night and band.
-- $source_id, $night, $band
select *
from transit_fit
where
    source_id = $source_id::integer
    and night = $night::date
    and band is not distinct from $band::varchar
order by fitted_utc desc, transit_fit_id desc
limit 1;
