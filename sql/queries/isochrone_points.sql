-- Points of all curves of a photometric system that have both bands of a colour and the magnitude.
-- One row per curve and equal evolutionary point. $photometric_system $blue $red $mag
select
    grid_name,
    is_synthetic,
    age_gyr,
    feh_dex,
    alpha_fe_dex,
    v_over_vcrit,
    eep,
    initial_mass_msun,
    any_value(phase) as phase,
    max(absolute_mag) filter (band = $blue) as blue_mag,
    max(absolute_mag) filter (band = $red) as red_mag,
    max(absolute_mag) filter (band = $mag) as mag
from isochrone_magnitude
where photometric_system = $photometric_system and band in ($blue, $red, $mag)
group by all
having
    blue_mag is not null
    and red_mag is not null
    and mag is not null
order by grid_name, v_over_vcrit, feh_dex, age_gyr, eep;
