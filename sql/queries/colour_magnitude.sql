-- Colour-magnitude diagram of a field, brightest first: the macro of the same name with its parameters.
-- One row per source. $field $blue $red $mag $aperture_id $take $photometric_system $min_frame
-- $max_err_mag $max_blended $with_unclean $ra_deg $dec_deg $inner_arcsec $outer_arcsec $min_parallax_mas
-- $max_parallax_mas $pm_ra_mas_per_yr $pm_dec_mas_per_yr $pm_reach_mas_per_yr $is_natural
select *
from colour_magnitude(
    $field,
    $blue,
    $red,
    $mag,
    in_aperture := $aperture_id::smallint,
    take := $take,
    on_system := $photometric_system::varchar,
    min_frame := coalesce($min_frame::integer, 1),
    max_err_mag := $max_err_mag::double,
    max_blended := $max_blended::double,
    with_unclean := coalesce($with_unclean::boolean, false),
    centre_ra_deg := $ra_deg::double,
    centre_dec_deg := $dec_deg::double,
    inner_arcsec := $inner_arcsec::double,
    outer_arcsec := $outer_arcsec::double,
    min_parallax_mas := $min_parallax_mas::double,
    max_parallax_mas := $max_parallax_mas::double,
    pm_ra_mas_per_yr := $pm_ra_mas_per_yr::double,
    pm_dec_mas_per_yr := $pm_dec_mas_per_yr::double,
    pm_reach_mas_per_yr := $pm_reach_mas_per_yr::double,
    without_terms := coalesce($is_natural::boolean, false)
)
order by mag, source_id;
