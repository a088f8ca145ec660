-- Measured frames of fields that got new stars since. These are measured on frames from then on; on
-- the old ones only if asked for, by `run --complete`. One row per frame.
-- requires: field_star
-- column n_unmeasured: stars of the field that were added since
-- column recipe: as in pending_photometry
create or replace view incomplete_photometry as
with added as (
    select
        field_id,
        star_revision,
        count(*) as n_star
    from field_star
    where star_revision > 0
    group by field_id, star_revision
)

select
    registration.frame_id,
    registration.field_id,
    product.recipe,
    sum(added.n_star)::integer as n_unmeasured
from registration
join added on
    added.field_id = registration.field_id
    and added.star_revision > coalesce(registration.star_revision, 0)
join product on
    product.frame_id = registration.frame_id
    and product.step = 'photometry'
    and product.state = 'done'
group by registration.frame_id, registration.field_id, product.recipe;
