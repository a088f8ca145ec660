-- Dark current of a camera over nights and temperatures. One row per night, setting and temperature.
-- $camera
select *
from dark_current
where camera_name = $camera
order by night, temperature_degc;
