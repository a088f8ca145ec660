-- What is known of each field. One row per field.
-- column bands: bands of its frames
-- column n_nights: nights with frames
-- column n_frames: light frames
-- column n_registered: frames that lie on the field
-- column n_on_sky: frames with a sky solution
-- column n_source: stars of the field
-- column median_residual_pix: unit=pix; how far a matched star is from its place; median over the frames
-- column median_residual_arcsec: unit=arcsec; same; null where the scale is not known
-- requires: field_star
create or replace view field_summary as
with visited as (
    select
        field_frame.field_id,
        list(distinct frame.band order by frame.band) as bands,
        count(*) as n_frames,
        count(registration.frame_id) as n_registered,
        count(wcs.frame_id) as n_on_sky,
        count(distinct frame.night) as n_nights,
        -- the median distance of a Gaussian in two dimensions is 1.1774 sigma
        1.1774 * median(registration.rms_pix) as median_residual_pix
    from field_frame
    join frame using (frame_id)
    left join registration using (frame_id)
    left join wcs using (frame_id)
    group by field_frame.field_id
),

starred as (
    select
        field_id,
        count(*) as n_source
    from field_star
    group by field_id
)

select
    field.field_id,
    field.field_name,
    field.ra_deg,
    field.dec_deg,
    field.is_on_sky,
    field.scale_arcsec_per_pix,
    visited.bands,
    visited.n_nights,
    visited.n_frames,
    visited.n_registered,
    visited.n_on_sky,
    visited.median_residual_pix,
    visited.median_residual_pix * field.scale_arcsec_per_pix as median_residual_arcsec,
    coalesce(starred.n_source, 0) as n_source
from field
left join visited using (field_id)
left join starred using (field_id)
order by field.field_id;
