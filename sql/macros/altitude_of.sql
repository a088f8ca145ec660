-- Altitude in degrees from the cosine of the zenith distance, null for a null: least(1, null) is 1.
create or replace macro altitude_of(cosine) as
    degrees(asin(cosine / greatest(1.0, abs(cosine))));
