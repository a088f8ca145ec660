-- Calibration frames that were never offered to a master. A group of frames whose masters or recipe
-- changed is found by the step itself; frames of a retired master wait for none. One row per frame.
create or replace view pending_master as
select frame.*
from frame
anti join (
    select frame_id
    from master_frame
    semi join retired_master using (master_id)
) as retired using (frame_id)
left join product on product.frame_id = frame.frame_id and product.step = 'master'
where
    frame.frame_type in ('bias', 'dark', 'darkflat', 'flat')
    and frame.night is not null
    and product.frame_id is null;
