-- Polynomial of u and v, which go from -1 to 1 across a frame, without its constant: coefficients of
-- u, v, or of u, v, uu, uv, vv; naught for an empty list.
create or replace macro position_term(coefficients, u, v) as
    coalesce(coefficients[1] * u, 0)
    + coalesce(coefficients[2] * v, 0)
    + coalesce(coefficients[3] * u * u, 0)
    + coalesce(coefficients[4] * u * v, 0)
    + coalesce(coefficients[5] * v * v, 0);
