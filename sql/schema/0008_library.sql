-- What the library of masters and the measuring of a camera add.

-- A master that a person took out of use. One row per master.
create table retired_master (
    master_id integer not null,         -- table master
    frame_key varchar not null,         -- fingerprint of its frames: they are not combined again
    reason varchar not null,            -- why, in the words of who did it
    retired_utc timestamp not null,     -- unit=UTC
);

-- A master made elsewhere and copied in. One row per master.
create table imported_master (
    master_id integer not null,         -- table master
    path varchar not null,              -- absolute path it was copied from
    checksum varchar not null,          -- xxh3-128 of that file
    imported_utc timestamp not null,    -- unit=UTC
);

-- Level and noise of a calibration frame as read. One row per frame.
create table frame_level (
    frame_id integer not null,          -- table frame
    level_adu double not null,          -- unit=adu; median of rows spread over the frame
    noise_adu double not null,          -- unit=adu; of one pixel against its second neighbour
);

-- Photon transfer curve of a camera. One row per pair of flats and bin of level.
create table transfer_point (
    camera_id integer not null,         -- table camera
    night date not null,                -- night of the first flats
    band varchar,                       -- band of the flats
    gain_setting double,                -- the camera's gain knob
    x_binning smallint,                 -- unit=pix
    readout_mode varchar,               -- read-out mode
    first_frame_id integer not null,    -- table frame; the fainter flat
    second_frame_id integer not null,   -- table frame; the brighter flat
    level_adu double not null,          -- unit=adu; raw level, bias included
    signal_adu double not null,         -- unit=adu; above the bias
    variance_adu2 double not null,      -- unit=adu2; of one frame, read noise taken off
    n_tile integer not null,            -- tiles of the frames behind it
);

-- What a ramp of exposures says of a camera. One row per ramp.
create table ramp_fit (
    camera_id integer not null,         -- table camera
    night date not null,                -- first night of the ramp
    band varchar,                       -- band of the flats
    gain_setting double,                -- the camera's gain knob
    x_binning smallint,                 -- unit=pix
    readout_mode varchar,               -- read-out mode
    n_flat smallint not null,           -- flats of the ramp
    saturation_adu double,              -- unit=adu; raw level where the variance collapses; null: not seen
    saturation_verdict varchar not null, -- where, or why it is null
    full_well_e double,                 -- unit=electron; that level above the bias; null without a gain
    pattern double,                     -- fixed pattern of the pixels, relative; null: no pair
    linearity double,                   -- largest relative departure from a line; null: not measurable
    lamp_scatter double,                -- relative range of flats of one exposure; null: none repeated
    linearity_verdict varchar not null, -- within what it is linear, or why that cannot be said
);
