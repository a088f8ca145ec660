-- Isochrones at hand and the range of ages, metallicities and rotations they span. One row per grid
-- and photometric system.
select
    isochrone_grid.grid_name,
    isochrone_grid.is_synthetic,
    band.photometric_system,
    band.bands,
    count(distinct curve.age_gyr) as n_age,
    min(curve.age_gyr) as min_age_gyr,
    max(curve.age_gyr) as max_age_gyr,
    list(distinct curve.feh_dex order by curve.feh_dex) as feh_dex,
    list(distinct curve.v_over_vcrit order by curve.v_over_vcrit) as v_over_vcrit,
    sum(curve.n_point) as n_point
from isochrone_grid
join (
    select
        grid_id,
        age_gyr,
        feh_dex,
        v_over_vcrit,
        count(*) as n_point
    from isochrone
    group by all
) as curve using (grid_id)
left join (
    select
        grid_id,
        photometric_system,
        string_agg(band, ' ' order by place) as bands
    from isochrone_band
    group by all
) as band using (grid_id)
group by all
order by isochrone_grid.grid_name, band.photometric_system;
