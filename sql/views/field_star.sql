-- The stars of each field, in the pixels of its reference frame: a source lies in every field that
-- shows it. One row per field and source.
-- column field_id: table field
-- column source_id: table source
-- column x_pix: unit=pix; in the pixels of the field's reference frame; where it is measured
-- column y_pix: unit=pix; same
-- column flux_adu: unit=adu; at detection
-- column fwhm_pix: unit=pix; at detection
-- column ra_deg: unit=deg; ucd=pos.eq.ra; null without a sky solution
-- column dec_deg: unit=deg; ucd=pos.eq.dec
-- column flags: table flag
-- column star_revision: counts how often stars had been added to the field, with these
create or replace view field_star as
select
    field_source.field_id,
    field_source.source_id,
    field_source.x_pix,
    field_source.y_pix,
    field_source.flux_adu,
    field_source.fwhm_pix,
    source.ra_deg,
    source.dec_deg,
    field_source.flags,
    field_source.star_revision
from field_source
join source using (source_id)
union all
select
    source.field_id,
    source.source_id,
    source.x_pix,
    source.y_pix,
    source.flux_adu,
    source.fwhm_pix,
    source.ra_deg,
    source.dec_deg,
    source.flags,
    0 as star_revision
from source
anti join field_source using (source_id);
