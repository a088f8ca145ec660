-- Julian date of a UTC timestamp.
create or replace macro jd_utc(time_utc) as
    julian(time_utc);
