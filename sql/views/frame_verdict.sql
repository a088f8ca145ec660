-- Whether a frame is good enough, and if not, why: its sharpness, shape, sky, transparency, tracking and
-- stars against the limits of the settings ([quality]). Ratios are to the median of the frames of the
-- same field, band, exposure and night. One row per measured frame.
-- requires: frame_airmass
-- column fwhm_ratio: FWHM over the median of its night
-- column sky_ratio: sky over the median of its night
-- column star_ratio: stars found over the median of its night
-- column ellipticity: 1 - minor / major axis, median of the stars
-- column transparency: light that came through, over that of the night's clearest quarter; null: not solved
-- column cloud_mag: unit=mag; zero point below that of the season's clear frames at this airmass; null: none of its own
-- column offset_pix: unit=pix; from where the field lies in the median frame of the night
-- column reasons: every limit that the frame breaks, in words; empty: none
-- column is_cloudy: lost more light than the limit allows
-- column is_rejected: breaks any limit; its measurements then are not clean
create or replace view frame_verdict as
with "limit" as (
    select
        nullif(max("value") filter (setting_name = 'quality.max_fwhm_ratio'), '')::double as max_fwhm_ratio,
        nullif(max("value") filter (setting_name = 'quality.max_ellipticity'), '')::double as max_ellipticity,
        nullif(max("value") filter (setting_name = 'quality.min_transparency'), '')::double as min_transparency,
        nullif(max("value") filter (setting_name = 'quality.max_cloud_mag'), '')::double as max_cloud_mag,
        nullif(max("value") filter (setting_name = 'quality.max_sky_ratio'), '')::double as max_sky_ratio,
        nullif(max("value") filter (setting_name = 'quality.min_star'), '')::double as min_star,
        nullif(max("value") filter (setting_name = 'quality.max_offset_pix'), '')::double as max_offset_pix
    from setting
),

dimming as (
    select
        frame_id,
        median(dimming_mag) as dimming_mag
    from frame_transparency
    group by frame_id
),

cloud as (
    select
        zero_point.frame_id,
        median(
            season.clear_zero_point_mag
            - coalesce(season.extinction_mag * frame_airmass.airmass, 0)
            - zero_point.zero_point_mag
        ) as cloud_mag
    from zero_point
    join frame using (frame_id)
    join photometric_solution as season on
        season.scope = 'season'
        and season.camera_id = frame.camera_id
        and season.band = frame.band
        and season.aperture_id = zero_point.aperture_id
        and season.catalogue_name = zero_point.catalogue_name
        and season.photometric_system = zero_point.photometric_system
        and season.first_night = zero_point.season_night
    left join frame_airmass on frame_airmass.frame_id = zero_point.frame_id
    where zero_point.method <> 'borrowed'
    group by zero_point.frame_id
),

measured as (
    select
        frame.frame_id,
        frame.night,
        frame.band,
        field_frame.field_id,
        frame_quality.fwhm_pix,
        1 - 1 / nullif(frame_quality.elongation, 0) as ellipticity,
        frame_quality.sky_adu,
        frame_quality.n_star,
        frame_quality.fwhm_pix / median(frame_quality.fwhm_pix) over alike as fwhm_ratio,
        frame_quality.sky_adu / nullif(median(frame_quality.sky_adu) over alike, 0) as sky_ratio,
        frame_quality.n_star / nullif(median(frame_quality.n_star) over alike, 0) as star_ratio,
        pow(10, -0.4 * dimming.dimming_mag) as transparency,
        cloud.cloud_mag,
        sqrt(
            pow(registration.x_shift_pix - median(registration.x_shift_pix) over alike, 2)
            + pow(registration.y_shift_pix - median(registration.y_shift_pix) over alike, 2)
        ) as offset_pix
    from frame
    join frame_quality using (frame_id)
    join field_frame using (frame_id)
    left join registration using (frame_id)
    left join dimming using (frame_id)
    left join cloud using (frame_id)
    window alike as (
        partition by field_frame.field_id, frame.band, frame.night, frame.exposure_s, frame.pier_side
    )
),

judged as (
    select
        measured.*,
        list_filter(
            [
                case
                    when fwhm_ratio > max_fwhm_ratio
                        then format('blurred: FWHM {:.1f} pix, {:.1f} times the median', fwhm_pix, fwhm_ratio)
                end,
                case
                    when ellipticity > max_ellipticity
                        then format('trailed: ellipticity {:.2f}', ellipticity)
                end,
                case
                    when transparency < min_transparency
                        then format('cloudy: {:.0f} % of the clear light', 100 * transparency)
                end,
                case
                    when cloud_mag > max_cloud_mag
                        then format('cloudy: zero point {:.2f} mag below clear sky', cloud_mag)
                end,
                case
                    when sky_ratio > max_sky_ratio and sky_adu > 0
                        then format('bright sky: {:.1f} times the median', sky_ratio)
                end,
                case when n_star < min_star then format('{} stars', n_star) end,
                case
                    when offset_pix > max_offset_pix
                        then format('off by {:.0f} pix', offset_pix)
                end
            ],
            lambda reason: reason is not null
        ) as reasons
    from measured
    cross join "limit"
)

select
    judged.*,
    coalesce(judged.transparency < "limit".min_transparency, false)
    or coalesce(judged.cloud_mag > "limit".max_cloud_mag, false) as is_cloudy,
    len(judged.reasons) > 0 as is_rejected
from judged
cross join "limit";
