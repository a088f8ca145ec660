-- Julian year of a UTC timestamp: 2000.0 is 2000 January 1, 12 h.
-- requires: jd_utc
create or replace macro jyear_of(time_utc) as
    2000 + (jd_utc(time_utc) - 2451545) / 365.25;
