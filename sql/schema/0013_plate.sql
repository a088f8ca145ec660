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
