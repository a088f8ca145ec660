-- The reference frame of each field, its solution so far, and all that a new one would be tried with.
-- One row per field that has a reference frame.
-- column recipe: what a solution is tried with
-- column method_of_wcs: how the frame came to its place on the sky; null: it has none
-- column tried: the recipe of the last try
-- requires: field_star
create or replace view field_solution as
with current_recipe as (
    select "value" as fingerprint
    from setting
    where setting_name = 'recipe.solving'
),

newest as (
    select coalesce(max(catalogue_id), 0) as catalogue_id
    from reference_catalogue
    where has_position
),

starred as (
    select
        field_id,
        count(*) as n_star
    from field_star
    group by field_id
),

-- frames that are on the sky by themselves
solved as (
    select
        registration.field_id,
        count(*) as n_frame
    from registration
    join wcs using (frame_id)
    where wcs.method <> 'field'
    group by registration.field_id
)

select
    field.field_id,
    concat_ws(
        '/',
        current_recipe.fingerprint,
        field.reference_frame_id,
        newest.catalogue_id,
        -- a fifth more stars are worth another try
        floor(ln(1 + coalesce(starred.n_star, 0)) / ln(1.2))::integer,
        wcs.frame_id is null and solved.n_frame > 0
    ) as recipe,
    wcs.method as method_of_wcs,
    product.recipe as tried,
    frame.*
from field
join frame on frame.frame_id = field.reference_frame_id
left join starred using (field_id)
left join solved using (field_id)
left join wcs on wcs.frame_id = frame.frame_id
left join product on product.frame_id = frame.frame_id and product.step = 'solving'
cross join current_recipe
cross join newest;
