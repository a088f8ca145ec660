-- Value of the flags AMBIGUOUS and CLOSE_PAIR: of a source, and of all its measurements in the view
-- light_curve.
create or replace macro source_flag_bits() as
    1572864;
