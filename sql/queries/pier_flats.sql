-- Flats of a camera taken on either side of the pier, of the newest night of each band that has
-- both, with the level of the biases of the nearest night. One row per frame. $camera
with flat as (
    select frame.*
    from frame
    join camera using (camera_id)
    where
        frame.frame_type = 'flat'
        and frame.pier_side is not null
        and camera.camera_name = $camera
),

both_sides as (
    select
        band,
        max(night) as night
    from (
        select
            band,
            night
        from flat
        group by band, night
        having count(distinct pier_side) > 1
    )
    group by band
)

select
    flat.frame_id,
    flat.night,
    flat.band,
    flat.pier_side,
    flat.hdu_index,
    arg_min(bias_level.bias_adu, abs(bias_level.night - flat.night)) as bias_adu
from flat
join both_sides on
    both_sides.band is not distinct from flat.band
    and both_sides.night = flat.night
join bias_level on bias_level.camera_id = flat.camera_id
group by flat.frame_id, flat.night, flat.band, flat.pier_side, flat.hdu_index
order by flat.band, flat.pier_side, flat.frame_id;
