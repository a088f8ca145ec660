-- Reference frames without a sky solution, or with that of their header only, which were not yet
-- tried with the solver, the index files and the catalogues at hand. One row per field.
-- column recipe: what a solution is tried with
create or replace view pending_solution as
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

expected as (
    select
        field.field_id,
        field.reference_frame_id as frame_id,
        concat_ws(
            '/',
            current_recipe.fingerprint,
            field.reference_frame_id,
            newest.catalogue_id
        ) as recipe
    from field
    cross join current_recipe
    cross join newest
    where field.reference_frame_id is not null
)

select
    expected.field_id,
    expected.recipe,
    frame.*
from expected
join frame using (frame_id)
left join wcs using (frame_id)
left join product on product.frame_id = expected.frame_id and product.step = 'solving'
where
    coalesce(wcs.method, 'header') = 'header'
    and product.recipe is distinct from expected.recipe;
