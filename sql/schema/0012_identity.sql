-- One sky: what was found where, which stars lie in which fields, and numbers that were given up.

-- A look for stars at frames of one field, camera, band and night. One row per search.
create table search (
    search_id integer not null,         -- counted up by the loader
    field_id integer not null,          -- table field; in whose pixels its detections are
    camera_id integer not null,         -- table camera
    band varchar,                       -- band of the frames
    night date,                         -- night of the frames
    frame_id integer,                   -- frame with most stars; null: no frame showed enough
    n_frame smallint not null,          -- frames looked at that lie on the field
    n_detection integer not null,       -- stars found
    fwhm_pix double,                    -- unit=pix; of the frames, in the field's pixels; median
    anchor_id integer,                  -- search that this one was laid on by stars; null: on the stars of the field
    sky_hash varchar,                   -- of the solution by which its detections are placed; null: not on the sky
    recipe varchar not null,            -- frames, masters and settings it was made with
);

-- A star as found by a search. One row per search and star.
create table detection (
    search_id integer not null,         -- table search
    field_id integer not null,          -- table field
    source_id integer,                  -- table source; null: not confirmed, no star until another search finds it
    frame_id integer not null,          -- frame on which it is brightest over its noise
    x_pix double not null,              -- unit=pix; in the pixels of the field's reference frame
    y_pix double not null,              -- unit=pix; same
    x_frame_pix double not null,        -- unit=pix; in the pixels of the search's own frame
    y_frame_pix double not null,        -- unit=pix; same
    ra_deg double,                      -- unit=deg; ucd=pos.eq.ra; null without a sky solution
    dec_deg double,                     -- unit=deg; ucd=pos.eq.dec
    healpix bigint,                     -- HEALPix number, order 29, nested; null without a sky solution
    flux_adu double not null,           -- unit=adu; on the scale of the field's first search
    significance double not null,       -- flux over its noise on that frame
    fwhm_pix double,                    -- unit=pix; on that frame; null: too faint
    elongation double,                  -- major over minor axis; null: too faint
    n_seen smallint not null,           -- frames of the search that show it
    n_expected smallint not null,       -- frames that are deep enough to show it
    is_confirmed boolean not null,      -- counts as a star without another search
    flags integer not null,             -- table flag
);

-- A star that is measured on the frames of a field. One row per field and source. A source without
-- a row lies in the field it names itself: see view field_star.
create table field_source (
    field_id integer not null,          -- table field
    source_id integer not null,         -- table source
    x_pix double not null,              -- unit=pix; in the pixels of the field's reference frame; where it is measured
    y_pix double not null,              -- unit=pix; same
    flux_adu double not null,           -- unit=adu; on the scale of the field's first search
    fwhm_pix double,                    -- unit=pix; at detection
    flags integer not null,             -- table flag
    star_revision integer not null,     -- counts how often stars had been added to the field, with these
);

-- A number that a star has no more. One row per change.
create table source_change (
    change_id integer not null,         -- counted up by the loader; those of one load apply at once
    old_source_id integer not null,     -- number that was given up
    source_id integer,                  -- number its rows have now; null: no star, its rows are gone
    reason varchar not null,            -- why
);

alter table registration add column star_revision integer; -- field_source of when it was measured; null: before that was kept
