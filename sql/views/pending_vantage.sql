-- Frames with a time whose vantage is missing or was made for another time or site. One row per
-- frame.
create or replace view pending_vantage as
with expected as (
    select
        frame.frame_id,
        frame.mid_utc,
        site.latitude_deg,
        site.longitude_deg,
        site.elevation_m,
        concat_ws(
            '/', frame.mid_utc, site.latitude_deg, site.longitude_deg, site.elevation_m
        ) as recipe
    from frame
    left join site using (site_id)
    where frame.mid_utc is not null
)

select expected.*
from expected
left join product on product.frame_id = expected.frame_id and product.step = 'vantage'
where product.recipe is distinct from expected.recipe;
