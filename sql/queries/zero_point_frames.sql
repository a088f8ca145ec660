-- Measured frames of a camera and band within some nights, with time and airmass, and the place of each
-- in an even choice over its night. One row per frame. $camera_id $band $first_night $last_night
with numbered as (
    select
        frame.frame_id,
        frame.night,
        frame.mid_utc,
        frame_airmass.airmass,
        row_number() over (partition by frame.night order by frame.mid_utc, frame.frame_id) - 1
            as number,
        count(*) over (partition by frame.night) as n_frame
    from frame
    join frame_quality using (frame_id)
    left join frame_airmass using (frame_id)
    where
        frame.camera_id = $camera_id::integer
        and frame.band = $band::varchar
        and frame.night between $first_night::date and $last_night::date
)

select
    frame_id,
    night,
    mid_utc,
    airmass,
    -- numbers with the reversed golden ratio: the first k of them are spread evenly, whatever k is
    row_number() over (
        partition by night order by (number * 0.6180339887498949) % 1, number
    ) as place
from numbered
order by night, mid_utc, frame_id;
