-- Numbers of the stars by where they are and how bright: fields by zones of declination and right
-- ascension, in each the brightest star first. One row per star whose number is another one; none where
-- a star has no place in table field_source, as in packages of before there was one.
with numbered as (
    select
        source.source_id,
        row_number() over (
            order by
                floor(field.dec_deg) nulls last,
                field.ra_deg nulls last,
                field.field_name,
                field.field_id,
                source.flux_adu desc,
                source.x_pix,
                source.y_pix,
                source.source_id
        )::integer as canonical_id
    from source
    join field using (field_id)
),

homeless as (
    select count(*) as n_source
    from source
    anti join field_source using (source_id)
)

select
    numbered.source_id,
    numbered.canonical_id
from numbered
cross join homeless
where homeless.n_source = 0 and numbered.source_id <> numbered.canonical_id
order by numbered.source_id;
