-- Variance of the flux of each star from frame to frame within a night, after what all stars have
-- in common is taken out: half the mean square of successive differences, robustly. One row per
-- source. $camera_id, $night, $band, $aperture_id
with clean as (
    select
        measurement.source_id,
        measurement.frame_id,
        frame.mid_utc,
        aperture_flux.flux_adu,
        -- noise of the sky alone: that of no flux
        pow(
            flux_err_adu(
                0, 1, aperture_flux.n_pix, measurement.n_sky_pix, measurement.sky_rms_adu, null, null, null
            ),
            2
        ) as sky_variance_adu2
    from frame
    join measurement using (frame_id)
    join aperture_flux using (frame_id, source_id)
    where
        frame.camera_id = $camera_id::integer
        and frame.night = $night::date
        and frame.band is not distinct from $band::varchar
        and aperture_flux.aperture_id = $aperture_id::smallint
        and aperture_flux.flux_adu is not null
        and is_clean(measurement.flags | aperture_flux.flags)
),

level as (
    select
        source_id,
        avg(flux_adu) as mean_flux_adu,
        rank() over (order by avg(flux_adu) desc) as brightness_rank
    from clean
    group by source_id
    having
        avg(flux_adu) > 0
        and count(*) >= 0.8 * (select count(distinct frame_id) from clean)
),

transparency as (
    select
        clean.frame_id,
        median(clean.flux_adu / level.mean_flux_adu) as factor
    from clean
    join level using (source_id)
    where level.brightness_rank <= 100
    group by clean.frame_id
),

corrected as (
    select
        clean.*,
        clean.flux_adu / transparency.factor as corrected_flux_adu
    from clean
    join level using (source_id)
    join transparency using (frame_id)
    where transparency.factor > 0.2
),

difference as (
    select
        *,
        corrected_flux_adu - lag(corrected_flux_adu) over (
            partition by source_id
            order by mid_utc, frame_id
        ) as step_adu
    from corrected
)

select
    source_id,
    pow(1.4826 * median(abs(step_adu)), 2) / 2 as variance_adu2,
    count(step_adu) as n_difference,
    avg(corrected_flux_adu) as flux_adu,
    avg(sky_variance_adu2) as sky_variance_adu2
from difference
group by source_id
having count(step_adu) > 0
order by source_id;
