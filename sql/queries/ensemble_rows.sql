-- Fluxes of all stars of a field in one night and band: what comparison stars are chosen from.
-- Pixels are those of the field's reference frame. One row per frame, source and aperture.
-- $field_id, $night, $band, $aperture_id
select
    light_curve.frame_id,
    light_curve.source_id,
    light_curve.aperture_id,
    light_curve.mid_jd_utc as mid_bjd,
    light_curve.flux_adu,
    light_curve.flux_err_adu,
    light_curve.is_clean,
    source.x_pix,
    source.y_pix
from light_curve
join source using (source_id)
where
    light_curve.field_id = $field_id::integer
    and light_curve.night = $night::date
    and light_curve.band is not distinct from $band::varchar
    and light_curve.aperture_id = $aperture_id::smallint;
