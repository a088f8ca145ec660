-- Planets, comparison stars and fits.

-- An ephemeris and the host it belongs to. One row per planet and version.
create table planet (
    planet_id integer not null,         -- counted up by the loader
    planet_name varchar not null,       -- HAT-P-32 b
    planet_key varchar not null,        -- lower case, no blanks or separators
    host_name varchar,                  -- HAT-P-32
    ra_deg double,                      -- unit=deg; ucd=pos.eq.ra; of the host
    dec_deg double,                     -- unit=deg; ucd=pos.eq.dec
    period_d double not null,           -- unit=d; ucd=time.period
    period_err_d double,                -- unit=d
    mid_bjd_tdb double not null,        -- unit=d; ucd=time.epoch; a mid-transit time
    mid_err_d double,                   -- unit=d
    time_system varchar not null,       -- as given: BJD_TDB, or assumed
    radius_ratio double,                -- planet over star
    radius_ratio_err double,            -- 1-sigma
    a_over_r double,                    -- semi-major axis over stellar radius
    a_over_r_err double,                -- 1-sigma
    inclination_deg double,             -- unit=deg
    inclination_err_deg double,         -- unit=deg
    impact_parameter double,            -- of the transit, stellar radii
    eccentricity double,                -- of the orbit
    omega_deg double,                   -- unit=deg; argument of periastron of the star
    depth double,                       -- relative flux, as published
    duration_h double,                  -- unit=h; first to fourth contact, as published
    star_teff_k double,                 -- unit=K
    star_logg double,                   -- log10 of cm/s2
    star_feh double,                    -- dex
    source varchar not null,            -- file it came from, with the reference it names
    imported_utc timestamp not null,    -- unit=UTC; the newest version counts
);

-- A name tied to a source by a person. One row per name.
create table identity (
    target_key varchar not null,        -- lower case, no blanks or separators
    target_name varchar not null,       -- as given
    field_id integer not null,          -- table field
    source_id integer not null,         -- table source
    frame_id integer not null,          -- frame whose pixels were named
    x_pix double not null,              -- unit=pix; as given
    y_pix double not null,              -- unit=pix; as given
    tied_utc timestamp not null,        -- unit=UTC
);

-- A star considered as comparison. One row per target, night, band, aperture and star.
create table comparison_star (
    target_source_id integer not null,  -- table source
    night date not null,                -- night of the light curve
    band varchar,                       -- band of the light curve
    aperture_id smallint not null,      -- table aperture
    source_id integer not null,         -- table source
    is_used boolean not null,           -- false: rejected
    weight double,                      -- weight in the ensemble, sum 1; null if rejected
    scatter double,                     -- relative scatter of its own light curve
    reason varchar not null,            -- why it was chosen or rejected
);

-- A fitted transit. One row per fit.
create table transit_fit (
    transit_fit_id integer not null,    -- counted up by the loader
    planet_id integer not null,         -- table planet
    source_id integer not null,         -- table source
    night date not null,                -- night of the light curve
    band varchar,                       -- band of the light curve
    aperture_id smallint,               -- table aperture
    verdict varchar not null,           -- transit, partial, no baseline, no transit, no data
    n_point integer not null,           -- points fitted, without outliers
    n_outlier integer not null,         -- points left out
    n_comparison integer not null,      -- comparison stars
    epoch integer,                      -- transits since the ephemeris' zero
    mid_bjd_tdb double,                 -- unit=d; ucd=time.epoch
    mid_err_d double,                   -- unit=d
    radius_ratio double,                -- planet over star
    radius_ratio_err double,            -- 1-sigma
    depth double,                       -- largest flux loss of the model
    depth_err double,                   -- 1-sigma
    duration_h double,                  -- unit=h; first to fourth contact
    duration_err_h double,              -- unit=h
    o_minus_c_min double,               -- unit=min; observed minus predicted mid-transit
    residual_scatter double,            -- relative flux; of the points fitted
    residual_scatter_all double,        -- relative flux; of all points
    red_noise_factor double,            -- time-averaging beta; errors are inflated by it
    chi2_reduced double,                -- with the quoted errors
    baseline varchar,                   -- constant, time, airmass ...
    parameters json not null,           -- every parameter of the fit with its error
    fitted_utc timestamp not null,      -- unit=UTC
);
