-- Error of a flux by fit from what the frame's profile misses: its share of the star's own light and,
-- in quadrature, of the light of neighbours that was taken off. Null for circles.
create or replace macro profile_err_adu(profile_err, flux_adu, neighbour_adu) as
    profile_err * sqrt(pow(flux_adu, 2) + pow(neighbour_adu, 2));
