-- Calibration products and how they were used.

-- A combined calibration frame. One row per master.
create table master (
    master_id integer not null,         -- counted up by the loader
    kind varchar not null,              -- bias, dark, flat
    camera_id integer not null,         -- table camera
    night date not null,                -- night of its frames
    band varchar,                       -- flats only
    exposure_s double,                  -- unit=s; mean exposure of the frames
    sensor_degc double,                 -- unit=deg_C; mean temperature
    x_binning smallint,                 -- unit=pix
    y_binning smallint,                 -- unit=pix
    n_x_pix integer not null,           -- unit=pix
    n_y_pix integer not null,           -- unit=pix
    gain_setting double,                -- the camera's gain knob
    offset_setting double,              -- the camera's offset knob
    readout_mode varchar,               -- read-out mode
    n_frame smallint not null,          -- frames that went in
    method varchar not null,            -- median or clipped mean
    is_bias_subtracted boolean not null, -- a dark with its bias taken out can be scaled
    level_adu double not null,          -- unit=adu; median; of a flat before normalisation
    noise_adu double,                   -- unit=adu; noise of one pixel, of a flat at its level
    file_name varchar not null,         -- FITS file below masters/
    checksum varchar not null,          -- xxh3-128 of that file
    recipe varchar not null,            -- fingerprint of parameters and input frames
);

-- A frame offered to a master. One row per master and frame.
create table master_frame (
    master_id integer not null,         -- table master
    frame_id integer not null,          -- table frame
    is_used boolean not null,           -- false: left out
    reason varchar,                     -- why it was left out
);

-- The calibration a light frame got. One row per measured light frame.
create table calibration (
    frame_id integer not null,          -- table frame
    bias_master_id integer,             -- table master; null: none matched
    dark_master_id integer,             -- table master; null: none matched
    flat_master_id integer,             -- table master; null: none matched
    dark_scale double,                  -- exposure of the light over that of the dark; null: not scaled
    dark_days double,                   -- unit=d; nights between light and dark
    dark_kelvin double,                 -- unit=K; light minus dark
    flat_days double,                   -- unit=d; nights between light and flat
    reason varchar not null,            -- in words what was used, what was missing and why
);

-- Gain and read noise of a camera. One row per measurement.
create table gain_fit (
    camera_id integer not null,         -- table camera
    night date not null,                -- night of the frames
    band varchar,                       -- band of the flats; null: all
    gain_setting double,                -- the camera's gain knob
    x_binning smallint,                 -- unit=pix
    readout_mode varchar,               -- read-out mode
    method varchar not null,            -- photon transfer (flats and biases) or star scatter
    gain_e_per_adu double,              -- unit=electron/adu; null: could not be measured
    gain_err_e_per_adu double,          -- unit=electron/adu
    read_noise_e double,                -- unit=electron; null: no biases
    n_pair smallint not null,           -- pairs of flats, or stars
    verdict varchar not null,           -- ok, or why the gain is null
);
