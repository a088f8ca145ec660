-- A field by number or name; of several, the one with most frames. One row at most. $field_name
select
    field.field_id,
    field.field_name
from field
left join field_frame using (field_id)
where
    cast(field.field_id as varchar) = $field_name
    or name_key(field.field_name) = name_key($field_name)
group by all
order by count(*) desc, field.field_id
limit 1;
