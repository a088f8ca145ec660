-- A camera, band and aperture has one solution for a span of nights and a catalogue.
select
    camera_id,
    band,
    aperture_id,
    scope,
    first_night,
    catalogue_name,
    photometric_system
from photometric_solution
group by all
having count(*) > 1;
