-- Light curves of ours over their comparison stars and those made elsewhere, side by side. One row per
-- point.
-- requires: differential_light_curve
-- column origin: own, or foreign: made elsewhere
-- column curve_name: star, night and band; or the file it came from
-- column target_key: name of a foreign curve's target as it is compared; null: own
-- column night: night of the light curve; of foreign ones the date of the noon before at Greenwich
-- column is_clean: none of the severe flags is set; foreign points always are
create or replace view combined_light_curve as
select
    'own' as origin,
    concat_ws(' ', 'source', source_id, night, band) as curve_name,
    source_id,
    null::integer as foreign_curve_id,
    null::varchar as target_key,
    night,
    band,
    aperture_id,
    mid_bjd_tdb,
    relative_flux,
    relative_flux_err,
    exposure_s,
    airmass,
    x_pix,
    y_pix,
    fwhm_pix,
    sky_adu_per_pix,
    is_clean
from differential_light_curve
union all
select
    'foreign' as origin,
    foreign_curve.file_name as curve_name,
    null as source_id,
    foreign_curve.foreign_curve_id,
    foreign_curve.target_key,
    -- a Julian day begins at noon: its whole part is the night
    (date '2000-01-01' + (floor(foreign_point.mid_bjd_tdb) - 2451545)::integer)::date as night,
    foreign_curve.band,
    null as aperture_id,
    foreign_point.mid_bjd_tdb,
    foreign_point.relative_flux,
    foreign_point.relative_flux_err,
    foreign_curve.exposure_s,
    foreign_point.airmass,
    foreign_point.x_pix,
    foreign_point.y_pix,
    foreign_point.fwhm_pix,
    foreign_point.sky_adu_per_pix,
    true as is_clean
from foreign_point
join foreign_curve using (foreign_curve_id);
