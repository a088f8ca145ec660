-- Plate solutions: what confirmed them, and how good they are.

alter table wcs add column catalogue_name varchar; -- whose stars it was fitted to: a reference catalogue, or index files; null: none
alter table wcs add column verdict varchar; -- what confirmed the solution, or why nothing could; what became of the header's own

-- A star on a frame against where the frame's solution puts it, or its registration where it was laid
-- on a solved one by stars. One row per frame and star.
create table wcs_residual (
    frame_id integer not null,          -- table frame
    x_pix float not null,               -- unit=pix; where it was seen, 0-based
    y_pix float not null,               -- unit=pix; same
    dx_pix float not null,              -- unit=pix; seen minus expected
    dy_pix float not null,              -- unit=pix; same
    is_used boolean not null,           -- false: too far off to take part in the fit
);

-- A star on a stack. One row per stack and source.
create table stack_measurement (
    stack_id integer not null,          -- table stack
    source_id integer not null,         -- table source
    x_pix float not null,               -- unit=pix; ucd=pos.cartesian.x;instr.det; 0-based, forced
    y_pix float not null,               -- unit=pix; ucd=pos.cartesian.y;instr.det
    sky_adu_per_pix float,              -- unit=adu/pix; clipped midmean of the annulus; near 0
    sky_rms_adu float,                  -- unit=adu; scatter of one sky pixel; neighbours are correlated
    n_sky_pix integer not null,         -- unit=pix; sky pixels kept
    peak_adu float,                     -- unit=adu; brightest pixel near the star
    fwhm_pix float,                     -- unit=pix; from moments; null if too faint
    flags integer not null,             -- table flag
);

-- The flux of a star within an aperture on a stack. One row per stack, source and aperture.
create table stack_flux (
    stack_id integer not null,          -- table stack
    source_id integer not null,         -- table source
    aperture_id smallint not null,      -- table aperture
    flux_adu double,                    -- unit=adu; ucd=phot.flux; of the reference frame; null: not measured
    n_pix float not null,               -- unit=pix; area of the aperture
    flags integer not null,             -- table flag
);
