-- Whether flags hold none of the severe ones.
create or replace macro is_clean(flags) as
    flags & (select coalesce(bit_or("value"), 0)::integer from flag where is_severe) = 0;
