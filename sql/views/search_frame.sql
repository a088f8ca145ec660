-- Light frames that are looked at for stars: of those of a field, camera, band and night some, spread
-- over the time; which, does not depend on the order in which they came. One row per frame.
-- requires: calibration_choice
-- column place: order among the frames looked at, from 0
-- column recipe: of the search: its frames, their masters, and the settings
create or replace view search_frame as
with limits as (
    select
        max("value") filter (where setting_name = 'detection.reference_candidates')::integer as n_most,
        max("value") filter (where setting_name = 'recipe.search') as fingerprint
    from setting
),

lined_up as (
    select
        field_frame.field_id,
        frame.camera_id,
        frame.band,
        frame.night,
        frame.frame_id,
        row_number() over (visit order by frame.mid_utc, frame.content_hash) - 1 as place,
        count(*) over visit as n_frame
    from field
    join field_frame using (field_id)
    join frame using (frame_id)
    where field.reference_frame_id is not null and frame.frame_type = 'light'
    window visit as (
        partition by field_frame.field_id, frame.camera_id, frame.band, frame.night
    )
),

spread as (
    select lined_up.*
    from lined_up
    cross join limits
    where
        n_frame <= n_most
        or place = 0
        or place * (n_most - 1) // (n_frame - 1) > (place - 1) * (n_most - 1) // (n_frame - 1)
)

select
    spread.field_id,
    spread.camera_id,
    spread.band,
    spread.night,
    spread.frame_id,
    spread.place,
    md5(concat(limits.fingerprint, string_agg(concat_ws(
        '/',
        spread.frame_id,
        coalesce(choice.bias_master_id, 0),
        coalesce(choice.dark_master_id, 0),
        coalesce(choice.flat_master_id, 0)
    ), ' ') over (
        partition by spread.field_id, spread.camera_id, spread.band, spread.night
        order by spread.place
        rows between unbounded preceding and unbounded following
    ))) as recipe
from spread
join calibration_choice as choice using (frame_id)
cross join limits;
