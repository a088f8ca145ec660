-- Frames with a time whose vantage is missing or was made for another site. One row per frame.
create or replace view pending_vantage as
select
    frame.frame_id,
    frame.mid_utc,
    site.latitude_deg,
    site.longitude_deg,
    site.elevation_m,
    concat_ws('/', site.latitude_deg, site.longitude_deg, site.elevation_m) as recipe
from frame
left join site using (site_id)
left join product on product.frame_id = frame.frame_id and product.step = 'vantage'
where
    frame.mid_utc is not null
    and product.recipe is distinct from concat_ws(
        '/', site.latitude_deg, site.longitude_deg, site.elevation_m
    );
