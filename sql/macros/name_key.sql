-- A name without case, blanks and separators: HAT-P-32 b and hatp32B are one.
create or replace macro name_key(given) as
    regexp_replace(lower(given), '[^0-9a-z+]', '', 'g');
