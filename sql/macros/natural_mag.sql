-- Natural magnitude, as the instrument sees it, of a standard one of known standard colour: undoes
-- standard_mag. What is left to its own magnitudes is the zero point.
create or replace macro natural_mag(standard_mag, colour_mag, colour_term, colour_pivot_mag) as
    standard_mag - coalesce(colour_term * (colour_mag - colour_pivot_mag), 0);
