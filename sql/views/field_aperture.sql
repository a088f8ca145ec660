-- Which aperture serves the stars of a field best in a night and band: the one of least scatter from
-- frame to frame, in the median over the brightest quarter of the stars that are clean on most frames and in
-- most apertures, five to thirty. One row per field, night, band and aperture.
-- column place: 1: the steadiest aperture
create or replace view field_aperture as
with observed as (
    -- frames may have gone to another field or band since, or lost their stars when measured again
    select
        field_frame.field_id,
        frame.night,
        frame.band,
        frame_transparency.aperture_id
    from field_frame
    join frame using (frame_id)
    join frame_transparency using (frame_id)
    group by all
    having count(*) > 1
)

select
    aperture_choice.field_id,
    aperture_choice.night,
    aperture_choice.band,
    aperture_choice.aperture_id,
    aperture_choice.n_star,
    aperture_choice.step_scatter_mag,
    row_number() over (
        partition by aperture_choice.field_id, aperture_choice.night, aperture_choice.band
        order by aperture_choice.step_scatter_mag, aperture_choice.aperture_id
    ) as place
from aperture_choice
join observed on
    observed.field_id = aperture_choice.field_id
    and observed.night = aperture_choice.night
    and observed.band is not distinct from aperture_choice.band
    and observed.aperture_id = aperture_choice.aperture_id;
