-- The measurements.

-- A measuring aperture. One row per aperture; the word means a radius everywhere.
create table aperture (
    aperture_id smallint not null,      -- counted up by the loader
    kind varchar not null,              -- arcsec, pix or fwhm: the unit of the radius
    radius double not null,             -- in arcsec, pix, or multiples of the frame's FWHM
    aperture_name varchar not null,     -- 6 arcsec, 3 pix, 2 fwhm
);

-- The state of the sky in a frame. One row per measured light frame.
create table frame_quality (
    frame_id integer not null,          -- table frame
    sky_adu double not null,            -- unit=adu; median background of a pixel
    sky_rms_adu double not null,        -- unit=adu; noise of a background pixel
    n_star integer not null,            -- stars detected
    fwhm_pix double,                    -- unit=pix; median of unsaturated stars; null: none
    elongation double,                  -- major over minor axis, median
    n_saturated_pix integer not null,   -- unit=pix; pixels at or above saturation
    saturation_adu double,              -- unit=adu; level used; null: not known
    saturation_source varchar,          -- configuration, header, pixels, none
    flags integer not null,             -- table flag; holds for every measurement of the frame
);

-- A star in a frame. One row per frame and source.
create table measurement (
    frame_id integer not null,          -- table frame
    source_id integer not null,         -- table source
    x_pix float not null,               -- unit=pix; ucd=pos.cartesian.x;instr.det; 0-based, forced
    y_pix float not null,               -- unit=pix; ucd=pos.cartesian.y;instr.det
    sky_adu_per_pix float,              -- unit=adu/pix; clipped midmean of the annulus
    sky_rms_adu float,                  -- unit=adu; scatter of one sky pixel
    n_sky_pix integer not null,         -- unit=pix; sky pixels kept
    peak_adu float,                     -- unit=adu; brightest raw pixel near the star
    fwhm_pix float,                     -- unit=pix; from moments; null if too faint
    flags integer not null,             -- table flag
);

-- The flux of a star within an aperture. One row per frame, source and aperture.
create table aperture_flux (
    frame_id integer not null,          -- table frame
    source_id integer not null,         -- table source
    aperture_id smallint not null,      -- table aperture
    flux_adu double,                    -- unit=adu; ucd=phot.flux; sky subtracted; null if off the frame
    n_pix float not null,               -- unit=pix; area of the aperture on good pixels
    flags integer not null,             -- table flag
);
