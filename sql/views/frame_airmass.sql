-- Airmass at the centre of the field. One row per measured frame with a time.
-- column altitude_deg: unit=deg; ucd=pos.az.alt; of the centre, without refraction; null without a site
-- column airmass: ucd=obs.airMass; computed (Pickering 2002); null without a site or a position
create or replace view frame_airmass as
with pointed as (
    select
        frame_quality.frame_id,
        altitude_of(along(
            vantage.zenith_x, vantage.zenith_y, vantage.zenith_z, field.ra_deg, field.dec_deg
        )) as altitude_deg
    from frame_quality
    join field_frame using (frame_id)
    join field using (field_id)
    join vantage using (frame_id)
)

select
    frame_id,
    altitude_deg,
    airmass_at(altitude_deg) as airmass
from pointed;
