-- Unit vector of a place after a shift along the tangent there: east and north, in radians.
create or replace macro shifted_vector(ra_deg, dec_deg, east, north) as
    array_value(
        (
            cos(radians(dec_deg)) * cos(radians(ra_deg))
            - sin(radians(ra_deg)) * east
            - sin(radians(dec_deg)) * cos(radians(ra_deg)) * north
        ) / sqrt(1 + east * east + north * north),
        (
            cos(radians(dec_deg)) * sin(radians(ra_deg))
            + cos(radians(ra_deg)) * east
            - sin(radians(dec_deg)) * sin(radians(ra_deg)) * north
        ) / sqrt(1 + east * east + north * north),
        (sin(radians(dec_deg)) + cos(radians(dec_deg)) * north)
        / sqrt(1 + east * east + north * north)
    );
