-- How steady a star is in each aperture: scatter of the differences from frame to frame of its
-- magnitude, less what all stars of the frame lost, over the square root of two. Slow change, as of a
-- variable star, hardly counts. One row per source, night, band and aperture.
-- column n_difference: pairs of successive frames
-- column instrumental_mag: unit=mag; ucd=phot.mag; median, per second of exposure
-- column step_scatter_mag: unit=mag; ucd=stat.stdev;phot.mag; rms with steps beyond 4 robust sigma left out
create or replace view aperture_scatter as
with point as (
    select
        aperture_flux.source_id,
        field_frame.field_id,
        frame.night,
        frame.band,
        aperture_flux.aperture_id,
        frame.mid_utc,
        frame.frame_id,
        -2.5 * log10(aperture_flux.flux_adu / frame.exposure_s) as mag,
        frame_transparency.dimming_mag
        + coalesce(
            (
                frame_transparency.x_gradient_mag * (measurement.x_pix - (frame.n_x_pix - 1) / 2)
                + frame_transparency.y_gradient_mag * (measurement.y_pix - (frame.n_y_pix - 1) / 2)
            ) / 1000,
            0
        ) as common_mag
    from aperture_flux
    join measurement using (frame_id, source_id)
    join frame using (frame_id)
    join field_frame using (frame_id)
    join frame_transparency using (frame_id, aperture_id)
    where
        aperture_flux.flux_adu > 0
        and frame.exposure_s > 0
        and is_clean(measurement.flags | aperture_flux.flags)
),

step as (
    select
        *,
        (mag - common_mag) - lag(mag - common_mag) over (
            partition by source_id, field_id, night, band, aperture_id
            order by mid_utc, frame_id
        ) as step_mag
    from point
),

width as (
    select
        *,
        median(abs(step_mag)) over (
            partition by source_id, field_id, night, band, aperture_id
        ) as median_step_mag
    from step
)

select
    source_id,
    field_id,
    night,
    band,
    aperture_id,
    count(step_mag) as n_difference,
    median(mag) as instrumental_mag,
    sqrt(avg(step_mag ** 2) filter (abs(step_mag) <= 4 * 1.4826 * median_step_mag) / 2)
        as step_scatter_mag
from width
group by source_id, field_id, night, band, aperture_id
having count(step_mag) > 0;
