-- What the warehouse holds, in numbers. One row.
select
    (select count(*) from frame) as n_frames,
    (select count(*) from path) as n_paths,
    (select count(*) from quarantine) as n_quarantined,
    (select count(distinct night) from frame) as n_nights,
    (select count(*) from field) as n_fields,
    (select count(*) from source) as n_sources,
    (select count(*) from master) as n_masters,
    (select count(*) from measurement) as n_measurements,
    (select count(*) from aperture_flux) as n_fluxes,
    (select count(*) from planet) as n_planets,
    (select count(*) from failure) as n_failures;
