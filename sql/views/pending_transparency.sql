-- Groups of measured frames, of one field, band and night, whose dimming was not solved since their
-- measurements changed. One row per field, band and night.
-- column frame_ids: measured frames of the group, table frame
-- column recipe: fingerprint of their measurements
create or replace view pending_transparency as
with expected as (
    select
        field_frame.field_id,
        frame.band,
        frame.night,
        list(frame.frame_id order by frame.frame_id) as frame_ids,
        '2/' || md5(string_agg(
            frame.frame_id || ':' || measured.recipe, ',' order by frame.frame_id
        )) as recipe
    from frame
    join frame_quality using (frame_id)
    join field_frame using (frame_id)
    join product as measured on measured.frame_id = frame.frame_id and measured.step = 'photometry'
    where frame.night is not null
    group by field_frame.field_id, frame.band, frame.night
),

solved as (
    select
        expected.recipe,
        bool_and(coalesce(product.recipe = expected.recipe, false)) as is_done
    from expected
    cross join unnest(expected.frame_ids) as member (frame_id)
    left join product on
        product.frame_id = member.frame_id and product.step = 'transparency'
    group by expected.recipe
)

select expected.*
from expected
join solved using (recipe)
where not solved.is_done;
