-- Do stars scatter as their errors say? Constant stars in bins of equal numbers, five or more, by
-- brightness: the median of their quoted errors, of their scatter from frame to frame, chi-square over
-- its degrees of freedom (with the noise floor added to the errors), the noise floor itself (relative,
-- as magnitudes: what bright stars scatter beyond their errors), and whether the errors are
-- independent of the scatter. One row per field, night, band and bin. $field $night $band
with star as (
    select
        field.field_name,
        audit_star.*
    from audit_star($night, $band) as audit_star
    join field using (field_id)
    where
        audit_star.is_constant
        and (
            $field is null
            or field.field_id::varchar = $field::varchar
            or name_key(field.field_name) = name_key($field::varchar)
        )
),

counted as (
    select
        *,
        count(*) over (partition by field_id, night, band) as n_star
    from star
),

binned as (
    select
        *,
        ntile(greatest(1, least(12, n_star // 5))::bigint) over (
            partition by field_id, night, band order by level_mag, source_id
        ) as bin
    from counted
    where n_star >= 5
)

select
    field_name as field,
    night,
    band,
    round(median(level_mag), 3) as mag_bin,
    count(*) as n_star,
    median(quoted_err_mag) as median_quoted_err,
    median(scatter_mag) as median_scatter,
    sum(chi2) / sum(freedom) as reduced_chi2,
    any_value(noise_floor_mag) as noise_floor,
    bool_and(is_independent) as independent
from binned
group by field_id, field_name, night, band, bin
order by field_name, night, band, mag_bin;
