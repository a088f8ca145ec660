-- Unit vector of a place on the sky, as an array of three. Angles in degrees.
create or replace macro unit_vector(ra_deg, dec_deg) as
    array_value(
        cos(radians(dec_deg)) * cos(radians(ra_deg)),
        cos(radians(dec_deg)) * sin(radians(ra_deg)),
        sin(radians(dec_deg))
    );
