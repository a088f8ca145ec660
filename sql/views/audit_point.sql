-- Magnitudes of stars about their own level, in the steadiest aperture of their field, night and band,
-- after what all stars of a frame lost is taken out. A star counts if it is clean on half of the
-- frames and no catalogue calls it variable. One row per frame and source.
-- requires: field_aperture
-- requires: known_variable
-- requires: light_curve
-- column residual_mag: unit=mag; about the weighted mean of the star
-- column quoted_err_mag: unit=mag; 1-sigma, of the error model
-- column weight: 1 over the square of the error, no star trusted beyond 0.003 mag
-- column star_share: share of the point in the level of its star
-- column has_gradient: a gradient was solved for the frame, and taken out
-- column u: x from the centre of the frame, in half its width
-- column v: y from the centre of the frame, in half its height
-- column level_mag: unit=mag; ucd=phot.mag; weighted mean instrumental magnitude of the star
-- column n_point: points of the star
create or replace view audit_point as
with point as (
    select
        light_curve.field_id,
        light_curve.night,
        light_curve.band,
        light_curve.aperture_id,
        light_curve.source_id,
        light_curve.frame_id,
        light_curve.gain_source,
        light_curve.instrumental_mag_err as quoted_err_mag,
        1 / (pow(light_curve.instrumental_mag_err, 2) + pow(0.003, 2)) as weight,
        light_curve.x_pix / (0.5 * (frame.n_x_pix - 1)) - 1 as u,
        light_curve.y_pix / (0.5 * (frame.n_y_pix - 1)) - 1 as v,
        frame_transparency.x_gradient_mag is not null as has_gradient,
        light_curve.instrumental_mag - frame_transparency.dimming_mag
        - coalesce(
            (
                frame_transparency.x_gradient_mag * (light_curve.x_pix - (frame.n_x_pix - 1) / 2)
                + frame_transparency.y_gradient_mag * (light_curve.y_pix - (frame.n_y_pix - 1) / 2)
            ) / 1000,
            0
        ) as mag
    from light_curve
    join field_aperture on
        field_aperture.place = 1
        and field_aperture.field_id = light_curve.field_id
        and field_aperture.night = light_curve.night
        and field_aperture.band is not distinct from light_curve.band
        and field_aperture.aperture_id = light_curve.aperture_id
    join frame_transparency on
        frame_transparency.frame_id = light_curve.frame_id
        and frame_transparency.aperture_id = light_curve.aperture_id
    join frame on frame.frame_id = light_curve.frame_id
    anti join known_variable on known_variable.source_id = light_curve.source_id
    where
        light_curve.is_clean
        and light_curve.instrumental_mag_err > 0
),

levelled as (
    select
        *,
        count(*) over star as n_point,
        weight / sum(weight) over star as star_share,
        sum(weight * mag) over star / sum(weight) over star as level_mag
    from point
    window star as (partition by field_id, night, band, source_id)
)

select
    * exclude (mag),
    mag - level_mag as residual_mag
from levelled
where n_point >= 2
qualify n_point >= 0.5 * max(n_point) over (partition by field_id, night, band);
