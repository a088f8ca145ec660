-- The aperture in which the stars of a field scatter least over all nights and bands. One row at most
-- per field. $field_id
select
    field_aperture.aperture_id,
    aperture.aperture_name
from field_aperture
join aperture using (aperture_id)
where field_aperture.field_id = $field_id::integer
group by all
order by avg(field_aperture.place), field_aperture.aperture_id
limit 1;
