-- Standard magnitude of a natural one, that of the instrument at the pivot colour; the natural one
-- itself where the colour or the term is not known. The colour is standard.
create or replace macro standard_mag(natural_mag, colour_mag, colour_term, colour_pivot_mag) as
    natural_mag + coalesce(colour_term * (colour_mag - colour_pivot_mag), 0);
