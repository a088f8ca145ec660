-- How a transit's numbers came about, ensembles of whole fields, choices of comparison stars by
-- hand, and times of minimum without a model.

alter table comparison_star add column ensemble_method varchar; -- weights, sum or inhomogeneous; null: weights

alter table transit_fit add column method varchar; -- least squares, emcee or dynesty: whence the numbers
alter table transit_fit add column noise_model varchar; -- white with red-noise factors, or gaussian process
alter table transit_fit add column ensemble_method varchar; -- weights, sum or inhomogeneous
alter table transit_fit add column delta_bic_flat double; -- BIC of the flat line less that of the transit
alter table transit_fit add column mid_permutation_err_d double; -- unit=d; 1-sigma by residual permutation
alter table transit_fit add column radius_ratio_permutation_err double; -- 1-sigma by residual permutation
alter table transit_fit add column mid_spread_d double; -- unit=d; largest change of mid-time by another baseline
alter table transit_fit add column radius_ratio_low double; -- least over the baselines tried: a systematic
alter table transit_fit add column radius_ratio_high double; -- largest over the baselines tried
alter table transit_fit add column minimum_bjd_tdb double; -- unit=d; ucd=time.epoch; Kwee-van Woerden, without a model
alter table transit_fit add column minimum_err_d double; -- unit=d; 1-sigma of minimum_bjd_tdb
alter table transit_fit add column limb_darkening varchar; -- where its priors came from
alter table transit_fit add column n_posterior integer; -- samples of the posterior kept; null: least squares
alter table transit_fit add column n_effective double; -- independent samples among those drawn, least of all parameters
alter table transit_fit add column autocorrelation_step double; -- steps of the chain, largest of all parameters
alter table transit_fit add column is_converged boolean; -- the chain is 50 autocorrelation times long or more
alter table transit_fit add column log_evidence_ratio double; -- natural log, transit over flat line; null: not computed
alter table transit_fit add column posterior_file varchar; -- Parquet file in the folder `posteriors` of the warehouse
alter table transit_fit add column posterior_checksum varchar; -- xxh3-128 of that file
alter table transit_fit add column rows_fingerprint varchar; -- xxh3-128 of the rows and options behind the fit

-- A comparison star chosen by hand. One row per target and star.
create table comparison_choice (
    target_source_id integer not null,  -- table source
    source_id integer not null,         -- table source
    choice varchar not null,            -- pin: use it whatever its scatter; ban: never; free: judge it
    note varchar,                       -- why
    chosen_utc timestamp not null,      -- unit=UTC
);

-- Zero points of the frames of a field by the inhomogeneous ensemble. One row per frame and aperture.
create table ensemble_frame (
    frame_id integer not null,          -- table frame
    field_id integer not null,          -- table field
    band varchar,                       -- band of the solution
    aperture_id smallint not null,      -- table aperture
    zero_mag double not null,           -- unit=mag; instrumental magnitude of the frame less the mean of its stars
    zero_err_mag double not null,       -- unit=mag; 1-sigma
    n_star integer not null,            -- stars behind it
);

-- Mean magnitudes of stars by the inhomogeneous ensemble. One row per source, band and aperture.
create table ensemble_source (
    source_id integer not null,         -- table source
    field_id integer not null,          -- table field
    band varchar,                       -- band of the solution
    aperture_id smallint not null,      -- table aperture
    mean_mag double not null,           -- unit=mag; instrumental, all frames on one zero point
    scatter_mag double,                 -- unit=mag; robust, of its residuals; null for fewer than 3 frames
    n_frame integer not null,           -- frames behind it
    is_constant boolean not null,       -- it decided the zero points
);

-- A minimum timed without a model. One row per source, night and band.
create table minimum_fit (
    source_id integer not null,             -- table source
    night date not null,                    -- night of the light curve
    band varchar,                           -- band of the light curve
    aperture_id smallint not null,          -- table aperture
    verdict varchar not null,               -- minimum, disagreement, one side only or no minimum
    n_point integer not null,               -- points of the dip that were used
    depth double,                           -- relative flux; of the polynomial below the shoulders
    kwee_bjd_tdb double,                    -- unit=d; ucd=time.epoch; Kwee & van Woerden 1956
    kwee_err_d double,                      -- unit=d; 1-sigma
    polynomial_bjd_tdb double,              -- unit=d; ucd=time.epoch; extremum of a polynomial
    polynomial_err_d double,                -- unit=d; 1-sigma
    polynomial_degree smallint,             -- chosen by BIC
    difference_sigma double,                -- of the two, in their combined error
    fitted_utc timestamp not null,          -- unit=UTC
);
