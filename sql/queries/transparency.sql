-- Transparency over a night: the light of the brightest steady stars of a field and band against
-- their mean in the clearest quarter of its frames, per second of exposure. Saturated and otherwise
-- unclean measurements are left out; the aperture is that of two FWHM. One row per frame. $night
with chosen as (
    select aperture_id
    from aperture
    where kind = 'fwhm'
    order by abs(radius - 2)
    limit 1
),

light as (
    select
        frame.frame_id,
        frame.mid_utc,
        frame.band,
        field_frame.field_id,
        aperture_flux.source_id,
        aperture_flux.flux_adu / frame.exposure_s as rate_adu
    from frame
    join field_frame using (frame_id)
    join aperture_flux using (frame_id)
    join measurement using (frame_id, source_id)
    semi join chosen using (aperture_id)
    where
        frame.night = $night::date
        and frame.exposure_s > 0
        and aperture_flux.flux_adu > 0
        and is_clean(measurement.flags | aperture_flux.flags)
),

n_frame as (
    select
        field_id,
        band,
        count(distinct frame_id) as n_frame
    from light
    group by field_id, band
),

star as (
    select
        light.field_id,
        light.band,
        light.source_id,
        median(light.rate_adu) as median_adu
    from light
    group by light.field_id, light.band, light.source_id
    having count(*) >= 0.8 * (
        select n_frame.n_frame
        from n_frame
        where n_frame.field_id = light.field_id and n_frame.band is not distinct from light.band
    )
    qualify row_number() over (
        partition by light.field_id, light.band order by median(light.rate_adu) desc
    ) <= 50
),

frame_factor as (
    select
        light.frame_id,
        light.mid_utc,
        light.field_id,
        light.band,
        count(*) as n_star,
        median(light.rate_adu / star.median_adu) as factor
    from light
    join star on
        star.field_id = light.field_id
        and star.band is not distinct from light.band
        and star.source_id = light.source_id
    group by all
)

select
    frame_factor.frame_id,
    frame_factor.mid_utc,
    frame_factor.field_id,
    frame_factor.band,
    frame_factor.n_star,
    frame_factor.factor / quantile_cont(frame_factor.factor, 0.75) over (
        partition by frame_factor.field_id, frame_factor.band
    ) as transparency
from frame_factor
order by frame_factor.mid_utc, frame_factor.frame_id;
