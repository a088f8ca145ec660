-- What was done, by whom, and what went wrong.

-- One command that wrote to the warehouse. One row per run.
create table run (
    run_id integer not null,            -- counted up by the loader
    command varchar not null,           -- the command line as given
    version varchar not null,           -- version of starmuster
    host varchar,                       -- host name and process number
    start_utc timestamp not null,       -- unit=UTC; when the command began
    end_utc timestamp,                  -- unit=UTC; null while running or if killed
    outcome varchar,                    -- done, failed (some frames), stopped
);

-- A sealed bundle of Parquet files that was loaded. One row per package; only this row makes it done.
create table package (
    package_id varchar not null,        -- folder name below packages/
    sequence integer not null,          -- order of loading; a rebuild replays in this order
    run_id integer,                     -- the run that loaded it
    step varchar not null,              -- catalogue, masters, photometry ...
    checksum varchar not null,          -- xxh3-128 of the manifest
    n_row bigint not null,              -- rows in all tables of the package
    loaded_utc timestamp not null,      -- unit=UTC
);

-- The state of one step for one frame. One row per frame and step.
create table product (
    frame_id integer not null,          -- the frame
    step varchar not null,              -- vantage, master, photometry
    recipe varchar not null,            -- fingerprint of the parameters used
    state varchar not null,             -- done or failed
);

-- What failed and why. One row per failed item of a run.
create table failure (
    run_id integer,                     -- the run that saw it
    step varchar not null,              -- catalogue, masters, registration, photometry ...
    frame_id integer,                   -- the frame, null if it was never catalogued
    subject varchar not null,           -- path or name of what failed
    error varchar not null,             -- class of the error
    message varchar not null,           -- subject, seen, expected, next step
    failed_utc timestamp not null,      -- unit=UTC
);

-- The meaning of the bits in every column called flags. One row per flag.
create table flag (
    bit smallint not null,              -- bit number; the value is 2^bit
    value integer not null,             -- 2^bit
    flag_name varchar not null,         -- short name
    meaning varchar not null,           -- what it says of a measurement
    is_severe boolean not null,         -- a clean measurement has none of the severe flags
);

-- What the database was made with. One row per subject.
create table version (
    subject varchar not null,           -- schema, or objects (macros and views)
    value varchar not null,             -- number of the newest schema file, or a fingerprint
);

-- A value of the configuration that a view needs, or the current recipe of a step. One row per name.
create table setting (
    setting_name varchar not null,      -- masters.max_dark_kelvin, recipe.photometry ...
    value varchar not null,             -- as text
);
