-- Stars of a field by how much they vary over all nights, by the stored inhomogeneous ensemble (see
-- `starmuster light-curves FIELD --ensemble inhomogeneous`): excess is the scatter over that of stars
-- of the same brightness, the most constant first; `order by excess desc` gives the most variable.
-- One row per source, band and aperture. $field_id
with binned as (
    select
        *,
        median(scatter_mag) over near_bright as usual_mag
    from ensemble_source
    where scatter_mag is not null and n_frame >= 10 and ($field_id is null or field_id = $field_id)
    window near_bright as (
        partition by field_id, band, aperture_id
        order by mean_mag
        rows between 15 preceding and 15 following
    )
)

select
    source_id,
    field_id,
    band,
    aperture_id,
    mean_mag,
    scatter_mag,
    usual_mag,
    scatter_mag / nullif(usual_mag, 0) as excess,
    n_frame,
    is_constant
from binned
order by excess, source_id;
