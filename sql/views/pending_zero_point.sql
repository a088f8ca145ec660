-- Measured frames of nights with stars of a reference catalogue, whose zero points were not solved
-- since measurements, matches, frames of the night or the recipe changed. One row per frame.
-- column recipe: fingerprint of all that decides the zero points of the camera, band and night
create or replace view pending_zero_point as
with matched as (
    select
        field_id,
        string_agg(
            concat_ws('/', catalogue_name, catalogue_id, sources_hash), ',' order by catalogue_name
        ) as matches
    from reference_field
    where n_match > 0
    group by field_id
),

measured as (
    select
        frame.frame_id,
        frame.camera_id,
        frame.band,
        frame.night,
        product.recipe,
        matched.matches
    from frame
    join frame_quality using (frame_id)
    join field_frame using (frame_id)
    join product on product.frame_id = frame.frame_id and product.step = 'photometry'
    left join matched on matched.field_id = field_frame.field_id
    where frame.band is not null and frame.night is not null
),

expected as (
    select
        camera_id,
        band,
        night,
        concat_ws(
            '/',
            (select "value" from setting where setting_name = 'recipe.zero_point'),
            md5(string_agg(concat_ws(':', frame_id, recipe, matches), ',' order by frame_id))
        ) as recipe
    from measured
    group by camera_id, band, night
    having count(matches) > 0
)

select
    measured.frame_id,
    measured.camera_id,
    measured.band,
    measured.night,
    expected.recipe
from measured
join expected using (camera_id, band, night)
left join product on product.frame_id = measured.frame_id and product.step = 'zero point'
where product.recipe is distinct from expected.recipe;
