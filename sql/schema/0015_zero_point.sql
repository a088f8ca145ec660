-- How deep and how clear: zero points, what the air takes, and what frames lost against each other.

-- What brings instrumental magnitudes onto the system of a catalogue. One row per frame and aperture.
create table zero_point (
    frame_id integer not null,          -- table frame
    aperture_id smallint not null,      -- table aperture
    zero_point_mag double not null,     -- unit=mag; for a star of the pivot colour at the frame's centre
    zero_point_err_mag double not null, -- unit=mag; 1-sigma
    colour varchar,                     -- colour of the colour term, as g-i; null: no colour term
    colour_pivot_mag double,            -- unit=mag; colour at which the colour term is naught
    colour_spread_mag double,           -- unit=mag; standard deviation of the colours of its stars
    colour_term double,                 -- magnitudes per magnitude of colour, added times colour less pivot
    colour_term_err double,             -- 1-sigma
    position_mag double[] not null,     -- unit=mag; times u, v (then uu, uv, vv), which go from -1 to 1 across the frame; empty: none
    intrinsic_scatter_mag double,       -- unit=mag; of the stars beyond their errors; null: borrowed
    scatter_mag double,                 -- unit=mag; robust, of the residuals; null: borrowed
    n_star integer not null,            -- stars behind it; 0: borrowed
    catalogue_name varchar not null,    -- table reference_catalogue
    photometric_system varchar not null, -- of the catalogue's magnitudes: Pan-STARRS, SDSS ...
    method varchar not null,            -- fit (this frame alone), joint (terms of the season), borrowed
    borrowed_frame_id integer,          -- table frame; the neighbour it was borrowed from
);

-- The terms that many frames share, solved together. One row per camera, band, aperture, catalogue
-- and span of nights: one night, or a season.
create table photometric_solution (
    camera_id integer not null,         -- table camera
    band varchar not null,              -- band of the frames
    aperture_id smallint not null,      -- table aperture
    scope varchar not null,             -- night or season
    first_night date not null,          -- the night, or the first day of the season, a quarter of a year
    last_night date not null,           -- the night, or the newest night of the season
    catalogue_name varchar not null,    -- table reference_catalogue
    photometric_system varchar not null, -- of the catalogue's magnitudes
    colour varchar,                     -- colour of the colour term; null: no colour term
    colour_pivot_mag double,            -- unit=mag; colour at which the colour term is naught
    colour_term double,                 -- magnitudes per magnitude of colour
    colour_term_err double,             -- 1-sigma
    position_mag double[] not null,     -- unit=mag; times u, v (then uu, uv, vv), from -1 to 1 across the frame
    position_err_mag double[] not null, -- unit=mag; 1-sigma
    clear_zero_point_mag double,        -- unit=mag; of clear frames, above the air or at the mean airmass
    extinction_mag double,              -- unit=mag; per airmass; null: too little range of airmass
    extinction_err_mag double,          -- unit=mag; 1-sigma
    clear_airmass double not null,      -- airmass that clear_zero_point_mag is for: 0 above the air
    intrinsic_scatter_mag double not null, -- unit=mag; of the stars beyond their errors
    scatter_mag double not null,        -- unit=mag; robust, of the residuals
    n_star integer not null,            -- stars
    n_frame integer not null,           -- frames
    n_clear_frame integer not null,     -- frames without cloud, behind the extinction
);

-- How much light a frame lost against the other frames of its night, from the stars they have in
-- common; no catalogue is needed. One row per frame and aperture.
create table frame_transparency (
    frame_id integer not null,          -- table frame
    aperture_id smallint not null,      -- table aperture
    dimming_mag double not null,        -- unit=mag; how much fainter all stars are than on the night's clearest quarter of frames
    dimming_err_mag double not null,    -- unit=mag; 1-sigma
    x_gradient_mag double,              -- unit=mag; by how much it grows over 1000 pixels in x; null: too few stars
    y_gradient_mag double,              -- unit=mag; the same in y
    gradient_err_mag double,            -- unit=mag; 1-sigma of either
    scatter_mag double not null,        -- unit=mag; robust, of single stars
    n_star integer not null,            -- stars behind it
);
