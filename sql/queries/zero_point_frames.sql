-- Measured frames of a camera and band of the season of a night, up to it, with time and airmass, and the
-- place of each in an even choice over its night. The season begins on a given night at the earliest,
-- else after the last night with another set-up (binning, gain, read-out mode), and its frames have
-- that of most frames of the night itself. Frames of one night and set-up share a level. One row per
-- frame. $camera_id $band $first_night $night
with measured as (
    select
        frame.frame_id,
        frame.night,
        frame.mid_utc,
        frame_airmass.airmass,
        [frame.x_binning::varchar, frame.gain_setting::varchar, frame.readout_mode] as set_up
    from frame
    join frame_quality using (frame_id)
    left join frame_airmass using (frame_id)
    where
        frame.camera_id = $camera_id::integer
        and frame.band = $band::varchar
        and frame.night between $first_night::date and $night::date
),

usual as (
    select
        night,
        set_up
    from measured
    group by night, set_up
    qualify row_number() over (partition by night order by count(*) desc, set_up) = 1
),

tonight as (
    select set_up
    from usual
    where night = $night::date
),

season as (
    select
        coalesce(max(usual.night) filter (usual.set_up is distinct from tonight.set_up) + 1, $first_night::date)
            as first_night
    from usual
    cross join tonight
),

numbered as (
    select
        measured.frame_id,
        measured.night,
        measured.mid_utc,
        measured.airmass,
        season.first_night,
        dense_rank() over (order by measured.night, measured.set_up) as level,
        row_number() over (
            partition by measured.night order by measured.mid_utc, measured.frame_id
        ) - 1 as number
    from measured
    cross join season
    cross join tonight
    where
        measured.night >= season.first_night
        and (measured.night = $night::date or measured.set_up is not distinct from tonight.set_up)
)

select
    frame_id,
    night,
    mid_utc,
    airmass,
    first_night,
    level,
    -- numbers with the reversed golden ratio: the first k of them are spread evenly, whatever k is
    row_number() over (
        partition by night order by (number * 0.6180339887498949) % 1, number
    ) as place
from numbered
order by night, mid_utc, frame_id;
