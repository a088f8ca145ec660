-- A star's magnitude over all nights, with what the stars of its field nearest to it in brightness do
-- together taken out of each frame: at most fifty, each against its own median over all nights. Nights
-- are not levelled, so that slow changes stay; rows whose flags do not speak for them (is_steady) are left
-- out. One row per frame, in time order.
-- $source_id, $band, $aperture_id
with target as (
    select
        field_id,
        flux_adu
    from source
    where source_id = $source_id::integer
),

neighbour as (
    select source.source_id
    from source
    join target using (field_id)
    where source.source_id <> $source_id::integer and source.flux_adu > 0
    order by abs(ln(source.flux_adu / target.flux_adu)), source.source_id
    limit 50
),

point as (
    select
        aperture_flux.frame_id,
        aperture_flux.source_id,
        -2.5 * log10(aperture_flux.flux_adu / frame.exposure_s) as mag
    from aperture_flux
    semi join neighbour using (source_id)
    join measurement using (frame_id, source_id)
    join frame using (frame_id)
    where
        aperture_flux.aperture_id = $aperture_id::smallint
        and frame.band is not distinct from $band::varchar
        and aperture_flux.flux_adu > 0
        and frame.exposure_s > 0
        and is_clean(measurement.flags | aperture_flux.flags)
),

relative as (
    select
        frame_id,
        mag - median(mag) over (partition by source_id) as late_mag
    from point
),

common as (
    select
        frame_id,
        median(late_mag) as common_mag,
        1.2533 * stddev_samp(late_mag) / sqrt(count(*)) as common_err_mag,
        count(*) as n_star
    from relative
    group by frame_id
    having count(*) >= 3
)

select
    light_curve.frame_id,
    light_curve.night,
    light_curve.mid_bjd_tdb,
    light_curve.instrumental_mag - common.common_mag as mag,
    sqrt(pow(light_curve.instrumental_mag_err, 2) + pow(common.common_err_mag, 2)) as mag_err,
    common.n_star
from light_curve
join common using (frame_id)
where
    light_curve.source_id = $source_id::integer
    and light_curve.aperture_id = $aperture_id::smallint
    and light_curve.band is not distinct from $band::varchar
    and is_steady(light_curve.flags)
    and light_curve.instrumental_mag is not null
    and light_curve.mid_bjd_tdb is not null
order by light_curve.mid_bjd_tdb, light_curve.frame_id;
