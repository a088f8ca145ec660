-- What others measured, and fits to many transits at once.

-- A light curve made elsewhere. One row per imported file.
create table foreign_curve (
    foreign_curve_id integer not null,  -- counted up by the loader
    target_name varchar not null,       -- as given by who imported it
    target_key varchar not null,        -- lower case, no blanks or separators
    ra_deg double,                      -- unit=deg; ucd=pos.eq.ra; place the times were converted for; null: no need
    dec_deg double,                     -- unit=deg; ucd=pos.eq.dec
    band varchar,                       -- normalised name of the filter
    band_given varchar,                 -- name of the filter as given
    observer varchar,                   -- who or what observed
    exposure_s double,                  -- unit=s; ucd=time.duration;obs.exposure; null: not told
    file_format varchar not null,       -- astroimagej, exotic, lemon, columns
    time_system varchar not null,       -- of the times in the file, as stated: JD_UTC, HJD_UTC, BJD_TDB ...
    is_magnitude boolean not null,      -- the file gives magnitudes; fluxes were made of them
    n_left_out integer not null,        -- lines without a time or a flux
    file_name varchar not null,         -- without its folder
    content_hash varchar not null,      -- xxh3-128 of the file's bytes, hexadecimal
    imported_utc timestamp not null,    -- unit=UTC
);

-- A point of a light curve made elsewhere. One row per curve and point, in time order.
create table foreign_point (
    foreign_curve_id integer not null,  -- table foreign_curve
    point_number integer not null,      -- from 1, in time order
    mid_bjd_tdb double not null,        -- unit=d; ucd=time.epoch; middle of the exposure at the barycentre
    given_time double not null,         -- unit=d; as it stands in the file, in the curve's time_system
    relative_flux double not null,      -- over the median of its night
    relative_flux_err double,           -- 1-sigma; null: the file gives none
    airmass double,                     -- as given
    x_pix double,                       -- unit=pix; as given
    y_pix double,                       -- unit=pix; as given
    fwhm_pix double,                    -- unit=pix; as given
    sky_adu_per_pix double,             -- unit=adu/pix; as given
);

-- A mid-transit time measured elsewhere. One row per planet, file and line.
create table published_transit (
    planet_key varchar not null,        -- of table planet
    planet_name varchar not null,       -- as given
    mid_bjd_tdb double not null,        -- unit=d; ucd=time.epoch
    mid_err_d double,                   -- unit=d; null: published without one
    epoch_given integer,                -- number of the transit in the file; only compared, never used
    time_system varchar not null,       -- of the times in the file, as stated
    reference varchar,                  -- who measured it, if the file says so
    file_name varchar not null,         -- without its folder
    content_hash varchar not null,      -- xxh3-128 of the file's bytes, hexadecimal
    line_number integer not null,       -- in that file, from 1
    imported_utc timestamp not null,    -- unit=UTC
);

-- All stored transits of a planet fitted with one shape. One row per fit.
create table joint_fit (
    joint_fit_id integer not null,      -- counted up by the loader
    planet_id integer not null,         -- table planet: the ephemeris behind the priors
    time_model varchar not null,        -- free: a time for each transit; linear: one ephemeris; period: as given
    n_transit integer not null,         -- nights and bands fitted together
    n_point integer not null,           -- points fitted, without outliers
    n_outlier integer not null,         -- points left out
    impact_parameter double not null,   -- stellar radii
    impact_parameter_err double,        -- 1-sigma
    a_over_r double not null,           -- semi-major axis over stellar radius
    a_over_r_err double,                -- 1-sigma
    period_d double not null,           -- unit=d; fitted to the times, within the fit where time_model says so
    period_err_d double,                -- unit=d; null: given, or one transit only
    mid_bjd_tdb double not null,        -- unit=d; ucd=time.epoch; a mid-transit near the middle of the data
    mid_err_d double,                   -- unit=d
    chi2_reduced double,                -- with the errors as quoted by the photometry
    parameters json not null,           -- every parameter with its error
    fitted_utc timestamp not null,      -- unit=UTC
);

-- One transit within a joint fit. One row per fit and light curve.
create table joint_transit (
    joint_fit_id integer not null,      -- table joint_fit
    curve_name varchar not null,        -- night and band, or the file it came from
    source_id integer,                  -- table source; null: made elsewhere
    foreign_curve_id integer,           -- table foreign_curve; null: our own
    night date not null,                -- date of the noon before, at Greenwich for foreign curves
    band varchar,                       -- band of the light curve
    epoch integer not null,             -- transits since the ephemeris' zero
    mid_bjd_tdb double not null,        -- unit=d; ucd=time.epoch
    mid_err_d double not null,          -- unit=d; scaled to the residuals, inflated by the red noise
    radius_ratio double not null,       -- planet over star in this band
    radius_ratio_err double not null,   -- 1-sigma
    baseline varchar not null,          -- constant, time, airmass ...
    n_point integer not null,           -- points fitted, without outliers
    n_outlier integer not null,         -- points left out
    residual_scatter double not null,   -- relative flux; of the points fitted
    red_noise_factor double not null,   -- time-averaging beta
);

alter table planet add column covariance_d2 double; -- unit=d2; of mid_bjd_tdb and period_d; null: not known
