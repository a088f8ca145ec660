-- Every master with its camera, the noise that its frames predict, and why it is out of use or where
-- it came from.
-- One row per master.
-- column retired_because: why it is used no more; null: it is in use
-- column imported_from: file it was imported from; null: made from frames of the warehouse
-- requires: master_noise
create or replace view master_library as
select
    master.*,
    camera.camera_name,
    master_noise.expected_noise_adu,
    master_noise.noise_ratio,
    retired_master.reason as retired_because,
    imported_master.path as imported_from
from master
join camera using (camera_id)
join master_noise using (master_id)
left join retired_master using (master_id)
left join imported_master using (master_id);
