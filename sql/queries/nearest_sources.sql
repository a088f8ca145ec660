-- Sources nearest to a position on the sky, nearest first. One row per source.
-- $ra_deg, $dec_deg, $radius_arcsec
select
    source_id,
    field_id,
    ra_deg,
    dec_deg,
    3600 * 2 * degrees(asin(sqrt(
        pow(sin(radians(dec_deg - $dec_deg::double) / 2), 2)
        + cos(radians(dec_deg)) * cos(radians($dec_deg::double))
        * pow(sin(radians(ra_deg - $ra_deg::double) / 2), 2)
    ))) as separation_arcsec
from source
where
    abs(dec_deg - $dec_deg::double) <= $radius_arcsec::double / 3600
    and separation_arcsec <= $radius_arcsec::double
order by separation_arcsec, source_id;
