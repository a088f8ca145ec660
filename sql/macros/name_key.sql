-- A name as it is compared: lower case, letters, digits and + only; HAT-P-32 b is hatp32b.
create or replace macro name_key(given) as
    regexp_replace(lower(given), '[^\pL\pN+]', '', 'g');
