-- Isochrones, and what of them fits a cluster.

-- A file of isochrones. One row per import.
create table isochrone_grid (
    grid_id integer not null,           -- counted up by the loader
    grid_name varchar not null,         -- MIST 1.2; MIST 1.2 synthetic
    origin varchar not null,            -- the file
    content_hash varchar not null,      -- xxh3-128 of the file
    published_system varchar,           -- photometric system in the words of the file; null: no magnitudes
    is_synthetic boolean not null,      -- made by shifts for a test; no model of stars
    n_isochrone integer not null,       -- curves: ages
    n_point integer not null,           -- points of all curves
    imported_utc timestamp not null,    -- unit=UTC; of two imports of one curve the newer counts
);

-- A band of a file of isochrones. One row per import and column of magnitudes.
create table isochrone_band (
    grid_id integer not null,           -- table isochrone_grid
    place smallint not null,            -- where its magnitudes stand in isochrone.absolute_mag, from 1
    column_name varchar not null,       -- as in the file: PS_g
    band varchar not null,              -- g, V, BP ...
    photometric_system varchar not null, -- Pan-STARRS, SDSS, Gaia DR3, Johnson-Cousins, 2MASS ...
);

-- A star of some mass and age. One row per import, age and equal evolutionary point (EEP).
create table isochrone (
    grid_id integer not null,           -- table isochrone_grid
    age_gyr double not null,            -- unit=Gyr
    feh_dex double not null,            -- unit=dex; [Fe/H] at birth
    alpha_fe_dex double not null,       -- unit=dex; [alpha/Fe]
    v_over_vcrit double not null,       -- rotation at birth over the critical one
    eep smallint not null,              -- equal evolutionary point (Dotter 2016, ApJS 222, 8)
    initial_mass_msun double not null,  -- unit=Msun
    mass_msun double,                   -- unit=Msun; at this age
    log_teff double,                    -- log10 of K
    log_g double,                       -- log10 of cm/s2
    log_l double,                       -- log10 of the solar luminosity
    phase smallint,                     -- -1 before, 0 on the main sequence, 2 giant branch, 3 helium core, 4, 5 asymptotic branch, 6 after, 9 Wolf-Rayet
    absolute_mag double[] not null,     -- unit=mag; ucd=phot.mag; without reddening, in the order of isochrone_band.place
);

-- Isochrones compared with a cluster. One row per fit.
create table isochrone_fit (
    isochrone_fit_id integer not null,  -- counted up by the loader
    field_id integer,                   -- table field; null: a catalogue without a field
    catalogue_name varchar,             -- catalogue whose magnitudes were fitted; null: those of frames
    blue_band varchar not null,         -- colour is blue less red
    red_band varchar not null,          -- colour is blue less red
    mag_band varchar not null,          -- magnitude
    aperture_id smallint,               -- table aperture; null: a catalogue
    photometric_system varchar not null, -- of the isochrones, and of the magnitudes where they are calibrated
    is_calibrated boolean not null,     -- false: the zero points were fitted along, see offsets
    grid_name varchar not null,         -- MIST 1.2
    is_synthetic boolean not null,      -- isochrones made by shifts for a test
    method varchar not null,            -- by hand, least squares, posterior
    n_star integer not null,            -- stars fitted
    n_point integer not null,           -- points of the best curve
    age_gyr double not null,            -- unit=Gyr
    age_err_gyr double,                 -- unit=Gyr; 1-sigma; null: not fitted
    feh_dex double not null,            -- unit=dex
    feh_err_dex double,                 -- unit=dex; 1-sigma; null: not fitted
    v_over_vcrit double not null,       -- rotation of the isochrone
    distance_modulus_mag double not null, -- unit=mag; without extinction
    distance_modulus_err_mag double,    -- unit=mag; 1-sigma; null: not fitted
    distance_pc double not null,        -- unit=pc
    a_v_mag double not null,            -- unit=mag; extinction in V
    a_v_err_mag double,                 -- unit=mag; 1-sigma; null: not fitted
    extinction_law varchar not null,    -- G23, F99 ..., wang-chen-2019
    r_v double,                         -- A_V over E(B-V); null: the law has none
    binary_fraction double,             -- unresolved pairs; null: not fitted
    field_fraction double,              -- stars that are no members; null: not fitted
    colour_offset_mag double,           -- unit=mag; added to instrumental colours; null: calibrated
    mag_offset_mag double,              -- unit=mag; added to instrumental magnitudes; null: calibrated
    log_likelihood double,              -- at the best curve; null: by hand
    parameters json not null,           -- every parameter with error, priors, percentiles, correlations
    selection json not null,            -- which stars went in
    warnings json not null,             -- what limits it
    fitted_utc timestamp not null,      -- unit=UTC
);
