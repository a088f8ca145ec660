-- Every point and every band of an isochrone comes from an import, with one magnitude a band.
select grid_id
from isochrone
anti join isochrone_grid using (grid_id)
union all
select grid_id
from isochrone_band
anti join isochrone_grid using (grid_id)
union all
select isochrone.grid_id
from isochrone
left join (
    select
        grid_id,
        count(*) as n_band
    from isochrone_band
    group by grid_id
) using (grid_id)
where len(isochrone.absolute_mag) <> coalesce(n_band, 0);
