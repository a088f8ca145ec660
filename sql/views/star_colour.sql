-- Colours of stars as the catalogue behind their zero points has them, for the colours that zero
-- points use. One row per source, catalogue, photometric system and colour.
-- column colour_mag: unit=mag; ucd=phot.color; in the photometric system
-- requires: reference_photometry
create or replace view star_colour as
with used as (
    select distinct
        catalogue_name,
        photometric_system,
        colour
    from zero_point
    where colour is not null
)

select distinct
    blue.source_id,
    used.catalogue_name,
    used.photometric_system,
    used.colour,
    blue.mag - red.mag as colour_mag
from used
join reference_photometry as blue on
    blue.catalogue_name = used.catalogue_name
    and blue.photometric_system = used.photometric_system
    and blue.band = split_part(used.colour, '-', 1)
join reference_photometry as red on
    red.source_id = blue.source_id
    and red.catalogue_name = used.catalogue_name
    and red.photometric_system = used.photometric_system
    and red.band = split_part(used.colour, '-', 2)
where not blue.is_ambiguous;
