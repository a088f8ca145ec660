-- The brightest clean stars that frames have in common, in all apertures: at most 300, each on
-- at least four fifths of the frames, by the brightness in the aperture of most light. One row per
-- frame, source and aperture. $frame_ids
with wanted as (
    select unnest($frame_ids::integer[]) as frame_id
),

clean as (
    select
        light_curve.frame_id,
        light_curve.source_id,
        light_curve.aperture_id,
        light_curve.mid_utc,
        light_curve.instrumental_mag as mag,
        light_curve.instrumental_mag_err as mag_err,
        light_curve.x_pix,
        light_curve.y_pix
    from light_curve
    semi join wanted using (frame_id)
    -- what dims a frame is found whether or not that then rejects it
    where is_clean(light_curve.flags & ~rejected_frame_bit()) and light_curve.flux_adu > 0 and light_curve.exposure_s > 0
),

star as (
    select
        source_id,
        aperture_id,
        row_number() over (partition by aperture_id order by median(mag)) as place
    from clean
    group by source_id, aperture_id
    having count(*) >= greatest(2, 0.8 * (select count(*) from wanted))
)

select clean.*
from clean
join star using (source_id, aperture_id)
where star.place <= 300
order by clean.aperture_id, clean.mid_utc, clean.frame_id, clean.source_id;
