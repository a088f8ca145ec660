-- Frames that lie on a field, with the solution they have. One row per registered frame.
-- column method_of_wcs: how the frame came to its place on the sky; null: it has none
-- column cards: FITS header cards of that place
create or replace view registered_plate as
select
    registration.*,
    frame.n_x_pix,
    frame.n_y_pix,
    wcs.method as method_of_wcs,
    wcs.cards
from registration
join frame using (frame_id)
left join wcs using (frame_id);
