-- Colour terms behind a diagram, the mean over its frames. One row per band with a term, and colour.
-- $field_id $aperture_id $bands $catalogue_name $photometric_system
select
    frame.band,
    zero_point.colour,
    avg(zero_point.colour_term) as colour_term,
    sum(zero_point.colour_term * zero_point.colour_pivot_mag)
    / nullif(sum(zero_point.colour_term), 0) as colour_pivot_mag
from zero_point
join frame using (frame_id)
join field_frame using (frame_id)
where
    field_frame.field_id = $field_id::integer
    and zero_point.aperture_id = $aperture_id::smallint
    and list_contains($bands::varchar[], frame.band)
    and zero_point.catalogue_name = $catalogue_name
    and zero_point.photometric_system = $photometric_system
    and zero_point.colour_term is not null
group by frame.band, zero_point.colour
order by frame.band, zero_point.colour;
