-- Which aperture to take, night by night.

-- How steady the stars of a field are in each aperture: scatter from frame to frame after what all
-- stars of a frame lost, in the median of bright ones. One row per field, night, band and aperture.
create table aperture_choice (
    field_id integer not null,          -- table field
    night date not null,                -- night of the frames
    band varchar,                       -- band of the frames
    aperture_id smallint not null,      -- table aperture
    n_star integer not null,            -- stars compared
    step_scatter_mag double not null,   -- unit=mag; ucd=stat.stdev;phot.mag; median over the stars
);
