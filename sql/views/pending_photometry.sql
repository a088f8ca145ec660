-- Light frames whose measurements are missing, or made by another recipe, with other masters or on
-- another reference. A frame that failed is pending again only when one of these changes.
-- One row per frame.
-- requires: calibration_choice
-- requires: defect_choice
-- requires: frame_detector
create or replace view pending_photometry as
with current_recipe as (
    select "value" as fingerprint
    from setting
    where setting_name = 'recipe.photometry'
),

expected as (
    select
        frame.frame_id,
        field_frame.field_id,
        concat_ws(
            '/',
            current_recipe.fingerprint,
            coalesce(choice.bias_master_id, 0),
            coalesce(choice.dark_master_id, 0),
            coalesce(choice.flat_master_id, 0),
            coalesce(defect_choice.master_id, 0),
            field.field_id,
            field.reference_frame_id,
            frame_detector.ramp_recipe
        ) as recipe
    from frame
    join field_frame using (frame_id)
    join field using (field_id)
    join calibration_choice as choice using (frame_id)
    left join defect_choice using (frame_id)
    left join frame_detector using (frame_id)
    cross join current_recipe
    where field.reference_frame_id is not null
)

select expected.*
from expected
left join product on product.frame_id = expected.frame_id and product.step = 'photometry'
where product.recipe is distinct from expected.recipe;
