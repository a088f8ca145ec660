-- Quantile of reduced chi-square with so many degrees of freedom, z standard deviations above (below
-- for negative z) its median; 0 gives the median (Wilson & Hilferty 1931, PNAS 17, 684).
create or replace macro chi2_quantile_ratio(freedom, z) as
    pow(greatest(1 - 2 / (9 * freedom) + z * sqrt(2 / (9 * freedom)), 0), 3);
