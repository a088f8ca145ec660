-- Zero point, clouds and depth of frames. What clouds took is the zero point that the season's clear
-- frames give at that airmass, less that of the frame. The limiting magnitude is that of a star of S/N
-- 5 in the aperture, of the pivot colour, at the centre of the frame; instrumental without a zero
-- point. One row per measured frame and aperture.
-- requires: frame_airmass
-- requires: frame_noise
-- column cloud_mag: unit=mag; taken by clouds against the season's clear frames; null without a season
-- column transparency: light that came through against clear sky, or against the night's clearest quarter
-- column transparency_source: season (zero points), night (stars in common)
-- column limiting_mag: unit=mag; ucd=phot.mag; of a star of S/N 5
-- column is_calibrated: whether limiting_mag is on the photometric system
-- column airmass: ucd=obs.airMass; at the centre of the field
create or replace view frame_depth as
with sky as (
    select
        frame_id,
        avg(n_sky_pix) as n_sky_pix
    from measurement
    group by frame_id
),

area as (
    select
        frame_quality.frame_id,
        aperture.aperture_id,
        frame_quality.sky_rms_adu,
        sky.n_sky_pix,
        pi() * pow(
            aperture.radius * case aperture.kind
                when 'arcsec' then 1 / field.scale_arcsec_per_pix
                when 'fwhm' then frame_quality.fwhm_pix
                when 'pix' then 1
            end,
            2
        ) as n_pix
    from frame_quality
    join field_frame using (frame_id)
    join field using (field_id)
    left join sky using (frame_id)
    cross join aperture
),

depth as (
    select
        area.frame_id,
        area.aperture_id,
        frame.camera_id,
        frame.night,
        frame.band,
        frame.exposure_s,
        -- F of F = 5 sigma, see flux_err_adu for the noise of the sky and of what is taken off for it
        12.5 / frame_noise.gain_e_per_adu
        + sqrt(
            pow(12.5 / frame_noise.gain_e_per_adu, 2)
            + 25 * area.n_pix * (1 + coalesce(1.19 * area.n_pix / nullif(area.n_sky_pix, 0), 0))
            * pow(area.sky_rms_adu, 2)
        ) as limiting_flux_adu
    from area
    join frame using (frame_id)
    join frame_noise using (frame_id)
)

select
    depth.frame_id,
    depth.aperture_id,
    depth.night,
    depth.band,
    frame_airmass.airmass,
    zero_point.zero_point_mag,
    zero_point.zero_point_err_mag,
    zero_point.method as zero_point_method,
    season.clear_zero_point_mag
    - coalesce(season.extinction_mag * frame_airmass.airmass, 0)
    - zero_point.zero_point_mag as cloud_mag,
    frame_transparency.dimming_mag,
    pow(10, -0.4 * coalesce(cloud_mag, frame_transparency.dimming_mag)) as transparency,
    case
        when cloud_mag is not null then 'season'
        when frame_transparency.dimming_mag is not null then 'night'
    end as transparency_source,
    case
        when depth.exposure_s > 0
            then
                -2.5 * log10(depth.limiting_flux_adu / depth.exposure_s)
                + coalesce(zero_point.zero_point_mag, 0)
    end as limiting_mag,
    zero_point.zero_point_mag is not null as is_calibrated
from depth
left join frame_airmass using (frame_id)
left join zero_point using (frame_id, aperture_id)
left join frame_transparency using (frame_id, aperture_id)
left join photometric_solution as season on
    season.scope = 'season'
    and season.camera_id = depth.camera_id
    and season.band = depth.band
    and season.aperture_id = depth.aperture_id
    and season.catalogue_name = zero_point.catalogue_name
    and season.photometric_system = zero_point.photometric_system
    and season.first_night = zero_point.season_night;
