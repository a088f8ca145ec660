-- Angle between two unit vectors [arcsec]; exact for small angles, at the poles, across RA 0.
create or replace macro separation_of(here, there) as
    3600 * degrees(2 * asin(least(array_distance(here, there) / 2, 1)));
