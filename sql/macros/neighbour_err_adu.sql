-- Error of the flux in a circle from the light of its neighbours, which changes with the shape of the
-- stars: along the axes of an elongated image stars are wider, and narrower, than its FWHM says, by
-- half the logarithm of the elongation. Null for fits, naught where no shape was measured.
create or replace macro neighbour_err_adu(neighbour_slope_adu, elongation) as
    0.5 * ln(greatest(elongation, 1)) * abs(neighbour_slope_adu);
