-- The light curve without rows of a severe flag; light_curve has them all. One row per frame,
-- source and aperture.
-- requires: light_curve
create or replace view clean_light_curve as
from light_curve
where is_clean;
