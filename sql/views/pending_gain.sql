-- Flats of which no gain was measured, nor why there is none. Flats whose biases or companions
-- changed are found by the step itself. One row per frame.
create or replace view pending_gain as
select frame.*
from frame
join frame_level using (frame_id)
anti join (select frame_id from product where step = 'gain') as tried using (frame_id)
where frame.frame_type = 'flat' and frame.night is not null;
