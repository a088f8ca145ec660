-- Stars of every catalogue within a circle on the sky, at their own epochs. One row per catalogue.
-- $ra_deg, $dec_deg, $radius_deg
select
    reference_catalogue.catalogue_name,
    max(reference_catalogue.catalogue_id) as catalogue_id,
    coalesce(any_value(inside.n_star), 0)::integer as n_star
from reference_catalogue
left join (
    select
        catalogue_name,
        count(*) as n_star
    from reference_star
    where
        abs(dec_deg - $dec_deg::double) <= $radius_deg::double
        and separation_of(
            unit_vector(ra_deg, dec_deg), unit_vector($ra_deg::double, $dec_deg::double)
        ) <= 3600 * $radius_deg::double
    group by catalogue_name
) as inside using (catalogue_name)
where reference_catalogue.has_position
group by reference_catalogue.catalogue_name
order by reference_catalogue.catalogue_name;
