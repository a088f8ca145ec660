-- Fluxes of stars in one night and band, such as those of query comparison_candidates: what comparison
-- stars are chosen from. Pixels are those of the field's reference frame. One row per frame, source
-- and aperture. $sources (as a list: a join would come after all stars were worked out), $night, $band,
-- $aperture_id (null: all)
select
    light_curve.frame_id,
    light_curve.source_id,
    light_curve.aperture_id,
    light_curve.mid_jd_utc as mid_bjd,
    light_curve.flux_adu,
    light_curve.flux_err_adu,
    light_curve.is_clean,
    field_star.x_pix,
    field_star.y_pix
from light_curve
join field_star using (field_id, source_id)
where
    list_contains($sources::integer[], light_curve.source_id)
    and light_curve.night = $night::date
    and light_curve.band is not distinct from $band::varchar
    and ($aperture_id is null or light_curve.aperture_id = $aperture_id::smallint);
