-- The stars of a frame in the aperture nearest to two FWHM: magnitude, size, place. One row per source.
-- $frame_id
with chosen as (
    select aperture_id
    from aperture
    where kind = 'fwhm'
    order by abs(radius - 2)
    limit 1
)

select
    light_curve.source_id,
    light_curve.instrumental_mag,
    light_curve.fwhm_pix,
    light_curve.x_pix,
    light_curve.y_pix,
    light_curve.is_clean
from light_curve
semi join chosen using (aperture_id)
where light_curve.frame_id = $frame_id::integer
order by light_curve.source_id;
