-- Julian date of a UTC timestamp. DuckDB's own julian() begins its days at midnight, not at noon.
create or replace macro jd_utc(time_utc) as
    julian(time_utc) - 0.5;
