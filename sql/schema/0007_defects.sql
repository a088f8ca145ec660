-- What is kept of masters beside their rows, and the maps of a camera's defects.

-- The file of a master. One row per master that was made here.
create table master_file (
    master_id integer not null,         -- table master
    size_byte bigint not null,          -- unit=byte; a look at it finds the file altered
    trim varchar,                       -- the part of a frame it holds, [x1:x2,y1:y2]; null: all
    has_variance boolean not null,      -- the file holds the variance of each pixel, and its count
);

-- A map of pixels that are worth less than others. One row per master of kind badpixel.
create table defect_map (
    master_id integer not null,         -- table master
    dark_master_id integer,             -- table master; where hot pixels were looked for; null: none
    flat_master_ids integer[] not null, -- table master; where cold and dead pixels were looked for
    hot_adu double,                     -- unit=adu; above its surroundings, from which a pixel is hot
    cold_response double,               -- relative to the surroundings, below which a pixel is cold
    dead_response double,               -- the same, below which a pixel is dead
    n_hot_pix integer not null,         -- unit=pix
    n_cold_pix integer not null,        -- unit=pix; dead ones not counted
    n_dead_pix integer not null,        -- unit=pix
);

-- The map of defects in a light's mask. One row per measured light frame that got one.
create table defect_use (
    frame_id integer not null,          -- table frame
    master_id integer not null,         -- table master, kind badpixel
);
