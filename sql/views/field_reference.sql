-- The frame whose pixels are the coordinates of a field, and its place on the sky. One row per
-- field that has one.
-- column sky_hash: of the solution, by which it is known again
create or replace view field_reference as
select
    field.field_id,
    field.reference_frame_id,
    frame.n_x_pix,
    frame.n_y_pix,
    frame.hdu_index,
    wcs.cards,
    md5(wcs.cards::varchar) as sky_hash,
    field.scale_arcsec_per_pix
from field
join frame on frame.frame_id = field.reference_frame_id
left join wcs using (frame_id);
