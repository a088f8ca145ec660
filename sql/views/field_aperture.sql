-- Which aperture serves the stars of a field best in a night and band: the one of least scatter from
-- frame to frame, in the median over the brightest quarter of the stars that are clean on most frames and in
-- most apertures, five to thirty. One row per field, night, band and aperture.
-- requires: aperture_scatter
-- column n_star: stars compared
-- column step_scatter_mag: unit=mag; ucd=stat.stdev;phot.mag; median over the stars
-- column place: 1: the steadiest aperture
create or replace view field_aperture as
with seen as (
    select
        field_id,
        night,
        band,
        source_id,
        median(instrumental_mag) as instrumental_mag,
        min(n_difference) as n_difference,
        count(*) as n_aperture
    from aperture_scatter
    group by field_id, night, band, source_id
),

whole as (
    select *
    from seen
    qualify
        n_difference >= 0.8 * max(n_difference) over (partition by field_id, night, band)
        and n_aperture >= 0.8 * max(n_aperture) over (partition by field_id, night, band)
),

bright as (
    select
        *,
        row_number() over (
            partition by field_id, night, band order by instrumental_mag
        ) as brightness,
        count(*) over (partition by field_id, night, band) as n_star
    from whole
),

judged as (
    select
        aperture_scatter.field_id,
        aperture_scatter.night,
        aperture_scatter.band,
        aperture_scatter.aperture_id,
        count(*) as n_star,
        median(aperture_scatter.step_scatter_mag) as step_scatter_mag
    from aperture_scatter
    join bright on
        bright.field_id = aperture_scatter.field_id
        and bright.night = aperture_scatter.night
        and bright.band is not distinct from aperture_scatter.band
        and bright.source_id = aperture_scatter.source_id
    where bright.brightness <= least(30, greatest(5, bright.n_star / 4))
    group by all
)

select
    *,
    row_number() over (
        partition by field_id, night, band order by step_scatter_mag, aperture_id
    ) as place
from judged;
