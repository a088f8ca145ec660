-- Stacks: deep images made of many frames.

-- A deep image of a field in one band. One row per field, band, night (or all nights)
-- and kind of sky.
create table stack (
    stack_id integer not null,          -- counted up by the loader
    field_id integer not null,          -- table field, whose pixels it has
    band varchar,                       -- band of its frames
    night date,                         -- night of its frames; null: all nights
    reference_frame_id integer not null, -- frame to whose light all others were scaled
    sky varchar not null,               -- how its frames' sky was taken off: mesh or plane
    rule varchar not null,              -- clipped mean or weighted mean
    kernel varchar not null,            -- bilinear or lanczos3
    n_frame smallint not null,          -- frames that went in
    exposure_s double,                  -- unit=s; of the reference frame: what a flux in ADU counts for
    total_exposure_s double,            -- unit=s; of all frames that went in
    gain_e_per_adu double,              -- unit=electron/adu; grows with the number averaged; null: not known
    noise_adu double not null,          -- unit=adu; median noise of one pixel
    noise_correlation double not null,  -- noise of a large area over that of as many independent pixels
    fwhm_pix double,                    -- unit=pix; weighted mean of its frames'
    covered_share double not null,      -- pixels with any frame over all pixels
    n_x_pix integer not null,           -- unit=pix
    n_y_pix integer not null,           -- unit=pix
    file_name varchar not null,         -- FITS file, below stacks/ unless absolute
    checksum varchar not null,          -- xxh3-128 of that file
    recipe varchar not null,            -- fingerprint of parameters and input frames
    made_utc timestamp not null,        -- unit=UTC
);

-- A frame offered to a stack. One row per stack and frame.
create table stack_frame (
    stack_id integer not null,          -- table stack
    frame_id integer not null,          -- table frame
    is_used boolean not null,           -- false: left out
    reason varchar,                     -- why it was left out
    flux_factor double,                 -- brings its light to that of the reference frame
    flux_factor_scatter double,         -- relative scatter of the stars the factor comes from
    n_star integer,                     -- stars the factor comes from
    weight double,                      -- share in the mean, sum 1; null if left out
);
