-- Sources that a catalogue of variable stars holds for variable or suspects to be; with several
-- sources within reach of one variable, all of them. One row per source and catalogue.
create or replace view known_variable as
select
    reference_match.field_id,
    reference_match.source_id,
    reference_match.catalogue_name,
    reference_star.star_name,
    variable_star.variability,
    variable_star.variable_type,
    variable_star.period_d,
    variable_star.max_mag,
    variable_star.amplitude_mag,
    reference_match.separation_arcsec,
    reference_match.is_ambiguous
from reference_match
join reference_star using (reference_star_id, catalogue_name)
join variable_star using (reference_star_id)
where variable_star.variability in ('variable', 'suspected');
