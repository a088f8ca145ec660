-- Calibration frames that were never offered to a master. A group of frames whose masters or recipe
-- changed is found by the step itself. One row per frame.
create or replace view pending_master as
select frame.*
from frame
left join product on product.frame_id = frame.frame_id and product.step = 'master'
where
    frame.frame_type in ('bias', 'dark', 'darkflat', 'flat')
    and frame.night is not null
    and product.frame_id is null;
