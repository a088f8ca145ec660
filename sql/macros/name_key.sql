-- A name as it is compared: lower case, no blanks or separators; HAT-P-32 b is hatp32b.
create or replace macro name_key(given) as
    lower(regexp_replace(given, '[\s_\-]+', '', 'g'));
