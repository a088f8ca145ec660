-- Times of light frames that show the field of a planet with a known ephemeris, at the barycentre for
-- the planet's host. A planet is in a field if its host lies within the circle around the field's
-- stars, or a person tied its name to one of them. One row per planet, field, night and band.
-- $planet_key (null: all)
with star_place as (
    select
        field_id,
        unit_vector(ra_deg, dec_deg) as place
    from source
    where ra_deg is not null
),

mean_place as (
    select
        field_id,
        avg(place[1]) as x,
        avg(place[2]) as y,
        avg(place[3]) as z
    from star_place
    group by field_id
),

centre as (
    select
        field_id,
        array_value(
            x / sqrt(x * x + y * y + z * z),
            y / sqrt(x * x + y * y + z * z),
            z / sqrt(x * x + y * y + z * z)
        ) as middle
    from mean_place
),

circle as (
    select
        centre.field_id,
        centre.middle,
        max(separation_of(star_place.place, centre.middle)) as radius_arcsec
    from star_place
    join centre using (field_id)
    group by centre.field_id, centre.middle
),

shown as (
    select
        newest_ephemeris.planet_key,
        circle.field_id
    from newest_ephemeris
    join circle on
        separation_of(
            unit_vector(newest_ephemeris.ra_deg, newest_ephemeris.dec_deg), circle.middle
        ) <= circle.radius_arcsec
    union
    select
        newest_ephemeris.planet_key,
        identity.field_id
    from newest_ephemeris
    join identity on
        identity.target_key in (
            newest_ephemeris.planet_key, name_key(newest_ephemeris.host_name)
        )
),

exposure as (
    select
        newest_ephemeris.planet_key,
        newest_ephemeris.planet_name,
        field.field_id,
        field.field_name,
        frame.night,
        frame.band,
        frame.exposure_s,
        jd_utc(frame.mid_utc) + (
            vantage.tdb_minus_utc_s + along(
                vantage.barycentric_x_ls, vantage.barycentric_y_ls, vantage.barycentric_z_ls,
                coalesce(newest_ephemeris.ra_deg, field.ra_deg),
                coalesce(newest_ephemeris.dec_deg, field.dec_deg)
            )
        ) / 86400 as mid_bjd_tdb
    from shown
    join newest_ephemeris using (planet_key)
    join field using (field_id)
    join field_frame using (field_id)
    join frame using (frame_id)
    join vantage using (frame_id)
)

select
    planet_key,
    planet_name,
    field_id,
    field_name,
    night,
    band,
    count(*) as n_frames,
    list(mid_bjd_tdb order by mid_bjd_tdb) as mid_bjd_tdb,
    max(exposure_s) as exposure_s
from exposure
where
    mid_bjd_tdb is not null
    and ($planet_key is null or planet_key = $planet_key)
group by planet_key, planet_name, field_id, field_name, night, band
order by planet_name, night, band, field_id;
