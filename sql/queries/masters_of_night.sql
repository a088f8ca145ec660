-- Masters behind the light frames of a field, night and band. One row per master.
-- $field_id, $night, $band
select distinct master.*
from field_frame
join frame using (frame_id)
join calibration using (frame_id)
join master on master.master_id in (
    calibration.bias_master_id, calibration.dark_master_id, calibration.flat_master_id
)
where
    field_frame.field_id = $field_id::integer
    and frame.night = $night::date
    and frame.band is not distinct from $band::varchar
order by master.kind, master.master_id;
