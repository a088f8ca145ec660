-- Fluxes of a target and of the stars of its field within a range of brightness, in one night and
-- band: what comparison stars are chosen from. Pixels are those of the field's reference frame.
-- One row per frame, source and aperture.
-- $source_id, $night, $band, $aperture_id (null: all), $max_fainter_mag, $max_brighter_mag
with target as (
    select
        field_id,
        flux_adu
    from field_star
    where source_id = $source_id::integer
),

candidate as (
    select
        field_star.field_id,
        field_star.source_id,
        field_star.x_pix,
        field_star.y_pix
    from field_star
    join target using (field_id)
    where
        field_star.source_id = $source_id::integer
        -- brightness at detection is rough: half a magnitude more than will be asked for
        or -2.5 * log10(field_star.flux_adu / target.flux_adu) between
        -($max_brighter_mag::double + 0.5) and $max_fainter_mag::double + 0.5
)

select
    light_curve.frame_id,
    light_curve.source_id,
    light_curve.aperture_id,
    light_curve.mid_jd_utc as mid_bjd,
    light_curve.flux_adu,
    light_curve.flux_err_adu,
    light_curve.is_clean,
    candidate.x_pix,
    candidate.y_pix
from light_curve
join candidate using (field_id, source_id)
where
    light_curve.night = $night::date
    and light_curve.band is not distinct from $band::varchar
    and ($aperture_id is null or light_curve.aperture_id = $aperture_id::smallint);
