-- Frames as they came in, and the instruments they came from.

-- An observing site. One row per site.
create table site (
    site_id integer not null,           -- counted up by the loader
    site_name varchar,                  -- from the header or the configuration
    latitude_deg double not null,       -- unit=deg; ucd=pos.earth.lat; north positive
    longitude_deg double not null,      -- unit=deg; ucd=pos.earth.lon; east positive
    elevation_m double,                 -- unit=m; ucd=pos.earth.altitude; null if unknown
    source varchar not null,            -- header or configuration
);

-- A camera on a telescope. One row per pair of names.
create table camera (
    camera_id integer not null,         -- counted up by the loader
    camera_name varchar not null,       -- INSTRUME, or 'unknown camera'
    telescope_name varchar,             -- TELESCOP
    aperture_m double,                  -- unit=m; diameter of the telescope, from the configuration
    saturation_adu double,              -- unit=adu; from the configuration, else null
    gain_e_per_adu double,              -- unit=electron/adu; from the configuration, else null
    read_noise_e double,                -- unit=electron; from the configuration, else null
    scale_arcsec_per_pix double,        -- unit=arcsec/pix; unbinned, from the configuration
);

-- An image of one file content. One row per frame.
create table frame (
    frame_id integer not null,          -- counted up by the loader
    content_hash varchar not null,      -- xxh3-128 of the file's bytes, hexadecimal
    size_byte bigint not null,          -- unit=byte; size of the file
    hdu_index smallint not null,        -- 0-based HDU that holds the pixels
    n_x_pix integer not null,           -- unit=pix; NAXIS1 of the image
    n_y_pix integer not null,           -- unit=pix; NAXIS2 of the image
    frame_type varchar,                 -- light, bias, dark, flat, darkflat; null if unknown
    frame_type_source varchar,          -- header, file name, folder, assigned, none
    band varchar,                       -- normalised name of the filter
    band_header varchar,                -- name of the filter as the header gives it
    exposure_s double,                  -- unit=s; ucd=time.duration;obs.exposure
    start_utc timestamp,                -- unit=UTC; ucd=time.start
    mid_utc timestamp,                  -- unit=UTC; ucd=time.epoch; middle of the exposure
    time_source varchar,                -- header card the time came from
    time_err_s double,                  -- unit=s; resolution of that card
    night date,                         -- local date at the noon before
    target_name varchar,                -- OBJECT as given
    target_key varchar,                 -- lower case, no blanks or separators
    ra_deg double,                      -- unit=deg; ucd=pos.eq.ra; as pointed, ICRS
    dec_deg double,                     -- unit=deg; ucd=pos.eq.dec; as pointed, ICRS
    scale_arcsec_per_pix double,        -- unit=arcsec/pix; hint from the header, binning included
    x_binning smallint,                 -- unit=pix
    y_binning smallint,                 -- unit=pix
    gain_setting double,                -- the camera's gain knob; never used for noise
    offset_setting double,              -- the camera's offset knob
    egain_e_per_adu double,             -- unit=electron/adu; gain as the header states it
    readout_mode varchar,               -- read-out mode
    sensor_degc double,                 -- unit=deg_C; temperature of the sensor
    set_degc double,                    -- unit=deg_C; set point of the cooler
    pier_side varchar,                  -- east or west
    program varchar,                    -- software that wrote the file
    camera_id integer not null,         -- table camera
    site_id integer,                    -- table site; null if unknown
    header json not null,               -- the whole header: list of [keyword, value, comment]
    header_issue varchar[],             -- what was odd about the header
);

-- A file that was seen. One row per path; many paths may hold one frame.
create table path (
    path varchar not null,              -- absolute path
    frame_id integer not null,          -- table frame
    size_byte bigint not null,          -- unit=byte
    mtime_ns bigint not null,           -- unit=ns; modification time, to skip unchanged files unread
    seen_utc timestamp not null,        -- unit=UTC
);

-- A file that says it is FITS and cannot be catalogued. One row per path.
create table quarantine (
    path varchar not null,              -- absolute path
    size_byte bigint not null,          -- unit=byte
    mtime_ns bigint not null,           -- unit=ns; it is tried again only if this changes
    reason varchar not null,            -- what was seen and expected
    seen_utc timestamp not null,        -- unit=UTC
);

-- Where the observer was and which way was up. One row per frame with a time.
create table vantage (
    frame_id integer not null,          -- table frame
    tdb_minus_utc_s double not null,    -- unit=s; ucd=time.scale
    barycentric_x_ls double not null,   -- unit=lyr.s/yr; observer from the barycentre, ICRS, light seconds
    barycentric_y_ls double not null,   -- unit=lyr.s/yr; same
    barycentric_z_ls double not null,   -- unit=lyr.s/yr; same
    heliocentric_x_ls double not null,  -- unit=lyr.s/yr; observer from the Sun, ICRS, light seconds
    heliocentric_y_ls double not null,  -- unit=lyr.s/yr; same
    heliocentric_z_ls double not null,  -- unit=lyr.s/yr; same
    zenith_x double,                    -- unit vector of the zenith, ICRS; null without a site
    zenith_y double,                    -- same
    zenith_z double,                    -- same
    is_geocentric boolean not null,     -- no site known: times are off by at most 21 ms
);
