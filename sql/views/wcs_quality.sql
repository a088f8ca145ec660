-- How well the solution of each frame agrees with the stars seen on it: those of the catalogue it was
-- fitted to, or for a frame that was laid on a solved one, those of the field. One row per frame.
-- column method: how the frame came to its place on the sky; null: it is in its field's pixels only
-- column catalogue_name: whose stars they are; null: those of the field
-- column n_star: stars that were used
-- column n_left_out: stars that were too far off to be used
-- column median_residual_pix: unit=pix; distance of seen and expected place
-- column median_residual_arcsec: unit=arcsec; same; null: scale not known
-- column rms_residual_pix: unit=pix; root mean square of those distances
-- column max_residual_pix: unit=pix; largest of them
-- column rms_inner_pix: unit=pix; of the half of the frame nearest to its centre
-- column rms_outer_pix: unit=pix; of the other half, where a distortion that was not fitted would show
-- column quadrant_offset_pix: unit=pix; largest mean offset of a quadrant with four stars or more
create or replace view wcs_quality as
with compared as (
    select
        residual.frame_id,
        is_used,
        sqrt(dx_pix ** 2 + dy_pix ** 2) as distance_pix,
        dx_pix,
        dy_pix,
        x_pix > frame.n_x_pix / 2 as is_right,
        y_pix > frame.n_y_pix / 2 as is_upper,
        -- the ellipse that holds half of the frame's area
        (2 * x_pix / frame.n_x_pix - 1) ** 2 + (2 * y_pix / frame.n_y_pix - 1) ** 2 < 2 / pi()
        as is_inner
    from wcs_residual as residual
    join frame using (frame_id)
),

quadrant as (
    select
        frame_id,
        sqrt(avg(dx_pix) ** 2 + avg(dy_pix) ** 2) as offset_pix
    from compared
    where is_used
    group by frame_id, is_right, is_upper
    having count(*) >= 4
),

skewed as (
    select
        frame_id,
        max(offset_pix) as quadrant_offset_pix
    from quadrant
    group by frame_id
),

summed as (
    select
        frame_id,
        count(*) filter (where is_used) as n_star,
        count(*) filter (where not is_used) as n_left_out,
        median(distance_pix) filter (where is_used) as median_residual_pix,
        sqrt(avg(distance_pix ** 2) filter (where is_used)) as rms_residual_pix,
        max(distance_pix) filter (where is_used) as max_residual_pix,
        sqrt(avg(distance_pix ** 2) filter (where is_used and is_inner)) as rms_inner_pix,
        sqrt(avg(distance_pix ** 2) filter (where is_used and not is_inner)) as rms_outer_pix
    from compared
    group by frame_id
)

select
    summed.frame_id,
    wcs.method,
    wcs.catalogue_name,
    summed.n_star,
    summed.n_left_out,
    summed.median_residual_pix,
    summed.median_residual_pix * wcs.scale_arcsec_per_pix as median_residual_arcsec,
    summed.rms_residual_pix,
    summed.max_residual_pix,
    summed.rms_inner_pix,
    summed.rms_outer_pix,
    skewed.quadrant_offset_pix
from summed
left join skewed using (frame_id)
left join wcs using (frame_id);
