-- Stars of the target's field that should not serve as comparison for any star: variable ones, those
-- with a neighbour in their wings, known from a catalogue or seen in the field itself, and those whose
-- identity is not sure (flags AMBIGUOUS, CLOSE_PAIR). One row per source and reason.
-- $source_id (the target; null: none)
with target as (
    select field_id
    from source
    where source_id = $source_id::integer
),

neighbour as (
    select field_star.*
    from field_star
    join target using (field_id)
),

wings as (
    select
        2 * median(neighbour.fwhm_pix) as wings_pix,
        any_value(field.scale_arcsec_per_pix) as scale_arcsec_per_pix
    from neighbour
    join field using (field_id)
),

star as materialized (
    select
        source_id,
        x_pix,
        y_pix,
        flux_adu,
        floor(x_pix / wings_pix)::integer as column_number,
        floor(y_pix / wings_pix)::integer as row_number
    from neighbour
    cross join wings
),

around as (
    select
        source_id,
        x_pix,
        y_pix,
        flux_adu,
        column_number + unnest([-1, -1, -1, 0, 0, 0, 1, 1, 1]) as column_number,
        row_number + unnest([-1, 0, 1, -1, 0, 1, -1, 0, 1]) as row_number
    from star
),

near as (
    select
        around.source_id,
        sqrt(min(pow(around.x_pix - star.x_pix, 2) + pow(around.y_pix - star.y_pix, 2)))
        as distance_pix
    from around
    join star using (column_number, row_number)
    -- a tenth of the light or more: less changes little, and stays the same
    where star.source_id <> around.source_id and star.flux_adu > 0.1 * around.flux_adu
    group by around.source_id
)

select
    known_variable.source_id,
    true as is_variable,
    concat(
        case when known_variable.variability = 'suspected' then 'suspected ' else '' end,
        'variable in ', upper(known_variable.catalogue_name), ': ',
        concat_ws(' ', known_variable.star_name, known_variable.variable_type)
    ) as reason
from known_variable
join target using (field_id)
where known_variable.source_id <> $source_id::integer
union all
select
    reference_match.source_id,
    false as is_variable,
    format(
        'neighbour at {:.1f} arcsec in {}',
        min(reference_match.neighbour_arcsec),
        arg_min(reference_match.catalogue_name, reference_match.neighbour_arcsec)
    ) as reason
from reference_match
join target using (field_id)
where
    reference_match.neighbour_arcsec is not null
    and reference_match.source_id <> $source_id::integer
    and reference_match.catalogue_name not in (
        select reference_star.catalogue_name
        from variable_star
        join reference_star using (reference_star_id)
    )
group by reference_match.source_id
union all
select
    source_id,
    false as is_variable,
    case
        when scale_arcsec_per_pix is null then format('neighbour at {:.1f} pix', distance_pix)
        else format('neighbour at {:.1f} arcsec', distance_pix * scale_arcsec_per_pix)
    end as reason
from near
cross join wings
where distance_pix < wings_pix and source_id <> $source_id::integer
union all
select
    neighbour.source_id,
    false as is_variable,
    concat('flagged ', string_agg(lower(flag.flag_name), ', ' order by flag."value")) as reason
from neighbour
join flag on neighbour.flags & flag."value" & source_flag_bits() <> 0
where neighbour.source_id <> $source_id::integer
group by neighbour.source_id
order by is_variable desc, source_id, reason;
