-- The sky: fields, their stars, and how each frame lies on them.

-- A pointing that is visited again and again. One row per field.
create table field (
    field_id integer not null,          -- counted up by the loader
    field_name varchar not null,        -- most frequent OBJECT of its frames
    ra_deg double,                      -- unit=deg; ucd=pos.eq.ra; centre as pointed, or as solved
    dec_deg double,                     -- unit=deg; ucd=pos.eq.dec
    reference_frame_id integer,         -- frame whose pixels are the field's coordinates; null: none yet
    is_on_sky boolean not null,         -- the reference frame has a trusted celestial WCS
    scale_arcsec_per_pix double,        -- unit=arcsec/pix; of the reference frame; null if unknown
    scale_source varchar,               -- wcs, header, configuration, none
);

-- Which field a light frame belongs to. One row per light frame.
create table field_frame (
    frame_id integer not null,          -- table frame
    field_id integer not null,          -- table field
);

-- A star. One row per source.
create table source (
    source_id integer not null,         -- counted up by the loader, fixed for good
    field_id integer not null,          -- table field
    ra_deg double,                      -- unit=deg; ucd=pos.eq.ra;meta.main; null without a sky solution
    dec_deg double,                     -- unit=deg; ucd=pos.eq.dec;meta.main
    healpix bigint,                     -- HEALPix number, order 29, nested; null without a sky solution
    x_pix double not null,              -- unit=pix; in the pixels of the field's reference frame
    y_pix double not null,              -- unit=pix; same
    flux_adu double not null,           -- unit=adu; at detection
    fwhm_pix double,                    -- unit=pix; at detection
    first_frame_id integer not null,    -- frame it was detected on
    flags integer not null,             -- table flag
);

-- The sky solution of a frame. One row per solved frame.
create table wcs (
    frame_id integer not null,          -- table frame
    method varchar not null,            -- header, solve-field, field (carried over by matched stars)
    cards json not null,                -- FITS header cards of the celestial WCS
    n_star integer,                     -- stars behind the solution
    rms_arcsec double,                  -- unit=arcsec; residual of those stars; null if not given
    scale_arcsec_per_pix double not null, -- unit=arcsec/pix
    rotation_deg double not null,       -- unit=deg; position angle of the y axis, east of north
    is_mirrored boolean not null,       -- east is clockwise from north
);

-- How a frame lies on its field. One row per registered frame.
create table registration (
    frame_id integer not null,          -- table frame
    field_id integer not null,          -- table field
    method varchar not null,            -- reference, wcs, wcs and stars, stars
    degree smallint not null,           -- degree of the polynomial
    x_coefficient double[] not null,    -- unit=pix; frame x as polynomial of field x, y
    y_coefficient double[] not null,    -- unit=pix; frame y as polynomial of field x, y
    n_star integer not null,            -- matched stars; 0 where the WCS alone was used
    rms_pix double,                     -- unit=pix; residual per axis of the matched stars
    x_shift_pix double not null,        -- unit=pix; of the field's centre
    y_shift_pix double not null,        -- unit=pix; same
);
