-- How reference catalogues cover the fields. One row per field and catalogue with stars there.
select
    field.field_id,
    field.field_name,
    reference_field.catalogue_name,
    reference_field.n_source,
    reference_field.n_star,
    reference_field.n_match,
    reference_field.n_ambiguous,
    reference_field.radius_arcsec,
    reference_field.separation_arcsec
from reference_field
join field using (field_id)
where reference_field.n_star > 0
order by field.field_id, reference_field.catalogue_name;
