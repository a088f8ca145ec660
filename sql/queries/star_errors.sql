-- Scatter of each star from frame to frame beside its quoted error, as `error_audit` has them in bins.
-- One row per field, night, band and source. $night $band
select
    field.field_name,
    audit_star.*
from audit_star($night, $band) as audit_star
join field using (field_id)
order by field_name, night, band, level_mag;
