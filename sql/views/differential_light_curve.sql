-- Flux of a target over its ensemble of comparison stars. What the comparison stars of a night, band
-- and aperture do together is solved by turns: the level of each star is the median of its flux over
-- the factor of each frame, the factor is the weighted mean of fluxes over levels. So a star that is
-- missing from some frames makes no step, whatever the clouds did. One row per frame, target and
-- aperture that has stored comparison stars.
-- requires: light_curve
-- column n_comparison: comparison stars with a clean flux in this frame
-- column ensemble_flux: what the frame let through of the comparison stars, median one
-- column relative_flux: ucd=phot.flux;arith.ratio; target over ensemble, median one
-- column relative_flux_err: ucd=stat.error;phot.flux;arith.ratio; of target and ensemble together
create or replace view differential_light_curve as
with recursive comparison_flux as (
    select
        comparison_star.target_source_id,
        comparison_star.weight,
        comparison_star.scatter,
        light_curve.source_id,
        light_curve.aperture_id,
        light_curve.night,
        light_curve.band,
        light_curve.frame_id,
        light_curve.flux_adu,
        light_curve.flux_err_adu
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
),

solution as (
    select
        comparison_flux.*,
        0 as n_round,
        median(flux_adu) over star as level_adu
    from comparison_flux
    window star as (partition by target_source_id, source_id, aperture_id, night, band)
    union all
    select
        previous.* exclude (n_round, level_adu, factor),
        n_round + 1 as n_round,
        median(flux_adu / factor) over same_star as level_adu
    from (
        select
            solution.*,
            sum(weight * flux_adu / level_adu) over of_frame / sum(weight) over of_frame as factor
        from solution
        where n_round < 10
        window of_frame as (partition by target_source_id, aperture_id, frame_id)
    ) as previous
    window same_star as (partition by target_source_id, source_id, aperture_id, night, band)
),

share as (
    select
        *,
        sum(weight * flux_adu / level_adu) over of_last / sum(weight) over of_last as factor
    from solution
    where n_round = 10
    window of_last as (partition by target_source_id, aperture_id, frame_id)
),

ensemble as (
    select
        target_source_id as source_id,
        aperture_id,
        frame_id,
        night,
        band,
        any_value(factor) as factor,
        -- a star without an error counts with its scatter
        sqrt(sum(pow(
            weight * coalesce(flux_err_adu / level_adu, scatter * factor, 0), 2
        ))) / sum(weight) as factor_err,
        count(*) as n_comparison
    from share
    group by target_source_id, aperture_id, frame_id, night, band
),

normalised as (
    select
        ensemble.*,
        factor / median(factor) over frames_of_curve as ensemble_flux
    from ensemble
    window frames_of_curve as (partition by source_id, aperture_id, night, band)
),

ratio as (
    select
        light_curve.*,
        normalised.n_comparison,
        normalised.ensemble_flux,
        light_curve.flux_adu / factor as ratio_adu,
        sqrt(
            pow(light_curve.flux_err_adu, 2)
            + pow(light_curve.flux_adu / factor * factor_err, 2)
        ) / factor as ratio_err_adu
    from light_curve
    join normalised using (source_id, aperture_id, frame_id)
)

select
    ratio.* exclude (ratio_adu, ratio_err_adu),
    ratio_adu / median(ratio_adu) over curve as relative_flux,
    ratio_err_adu / abs(median(ratio_adu) over curve) as relative_flux_err
from ratio
window curve as (partition by source_id, aperture_id, night, band);
