-- Component of an ICRS vector along the direction of a star.
create or replace macro along(x, y, z, ra_deg, dec_deg) as
    x * cos(radians(dec_deg)) * cos(radians(ra_deg))
    + y * cos(radians(dec_deg)) * sin(radians(ra_deg))
    + z * sin(radians(dec_deg));
