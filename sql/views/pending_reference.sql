-- Light frames that may become the reference of a field that has none. One row per frame.
create or replace view pending_reference as
select
    field_frame.field_id,
    frame.*
from field
join field_frame using (field_id)
join frame using (frame_id)
left join product on product.frame_id = frame.frame_id and product.step = 'reference'
where field.reference_frame_id is null and product.state is distinct from 'failed';
