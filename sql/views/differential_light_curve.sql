-- Flux of a target over its ensemble of comparison stars, each star first divided by its own mean
-- over the frames where it is clean, so that a missing star makes no step. Median one per night,
-- band and aperture. One row per frame, target and aperture that has stored comparison stars.
-- requires: light_curve
-- column n_comparison: comparison stars with a clean flux in this frame
-- column ensemble_flux: weighted mean of the comparison stars, each relative to its own mean
-- column relative_flux: ucd=phot.flux;arith.ratio; target over ensemble, median one
-- column relative_flux_err: ucd=stat.error;phot.flux;arith.ratio; of target and ensemble together
create or replace view differential_light_curve as
with ensemble_star as (
    select
        comparison_star.target_source_id,
        comparison_star.weight,
        light_curve.frame_id,
        light_curve.aperture_id,
        light_curve.source_id,
        light_curve.night,
        light_curve.flux_adu / avg(light_curve.flux_adu) over star as relative_flux,
        light_curve.flux_err_adu / avg(light_curve.flux_adu) over star as relative_flux_err
    from comparison_star
    join light_curve on
        light_curve.source_id = comparison_star.source_id
        and light_curve.aperture_id = comparison_star.aperture_id
        and light_curve.night = comparison_star.night
        and light_curve.band is not distinct from comparison_star.band
    where
        comparison_star.is_used
        and light_curve.is_clean
        and light_curve.flux_adu > 0
    window star as (
        partition by
            comparison_star.target_source_id, light_curve.source_id,
            light_curve.aperture_id, light_curve.night, light_curve.band
    )
),

ensemble as (
    select
        target_source_id as source_id,
        aperture_id,
        frame_id,
        sum(weight * relative_flux) / sum(weight) as ensemble_flux,
        sqrt(sum(pow(weight * relative_flux_err, 2))) / sum(weight) as ensemble_flux_err,
        count(*) as n_comparison
    from ensemble_star
    group by target_source_id, aperture_id, frame_id
),

ratio as (
    select
        light_curve.*,
        ensemble.n_comparison,
        ensemble.ensemble_flux,
        light_curve.flux_adu / ensemble.ensemble_flux as ratio_adu,
        sqrt(
            pow(light_curve.flux_err_adu, 2)
            + pow(light_curve.flux_adu / ensemble_flux * ensemble_flux_err, 2)
        ) / ensemble_flux as ratio_err_adu
    from light_curve
    join ensemble using (source_id, aperture_id, frame_id)
)

select
    ratio.* exclude (ratio_adu, ratio_err_adu),
    ratio_adu / median(ratio_adu) over curve as relative_flux,
    ratio_err_adu / median(ratio_adu) over curve as relative_flux_err
from ratio
window curve as (partition by source_id, aperture_id, night, band);
