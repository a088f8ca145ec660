-- Light curves under the names that lightkurve and its kin use. One row per frame, target and aperture
-- that has stored comparison stars.
-- requires: differential_light_curve
-- column time: unit=d; ucd=time.epoch; middle of the exposure, BJD_TDB
-- column flux: ucd=phot.flux;arith.ratio; over the comparison stars, median of the night 1
-- column flux_err: ucd=stat.error;phot.flux;arith.ratio; 1-sigma
-- column quality: flags; 0 is clean
create or replace view v_lightkurve as
select
    source_id,
    night,
    band,
    aperture_id,
    mid_bjd_tdb as "time",
    relative_flux as flux,
    relative_flux_err as flux_err,
    flags as quality
from differential_light_curve;
