-- Reference catalogues: what others measured of the stars, and which of our sources they are.

-- What was asked for and got. One row per import.
create table reference_catalogue (
    catalogue_id integer not null,      -- counted up by the loader
    catalogue_name varchar not null,    -- atlas-refcat2, gaia-dr3, vsx ...
    origin varchar not null,            -- the file; or the service, its table and what was asked of it
    content_hash varchar not null,      -- xxh3-128 of what was read and of the rules it was read by
    imported_utc timestamp not null,    -- unit=UTC
    n_row integer not null,             -- rows of the file
    n_star integer not null,            -- stars taken: rows without duplicates and without unusable ones
    n_duplicate integer not null,       -- rows merged with another one of the same star
    n_unplaced integer not null,        -- rows left out, for they alone have no position
    has_position boolean not null,      -- false: a list of stars that cannot be matched
    columns json not null,              -- column of the file, what it was read as, and in which unit
);

-- A star of a reference catalogue. One row per star; of several imports the newest counts.
create table reference_star (
    reference_star_id integer not null, -- counted up by the loader, kept when imported again
    catalogue_id integer not null,      -- table reference_catalogue; the newest import that has it
    catalogue_name varchar not null,    -- that of the import
    star_name varchar,                  -- its name or number in the catalogue; null: it has none
    ra_deg double,                      -- unit=deg; ucd=pos.eq.ra; ICRS, at its epoch; null: not given
    dec_deg double,                     -- unit=deg; ucd=pos.eq.dec
    healpix bigint,                     -- HEALPix number, order 29, nested; null without a position
    epoch_jyear double,                 -- unit=yr; Julian year of the position; null: not given
    pm_ra_mas_per_yr double,            -- unit=mas/yr; ucd=pos.pm;pos.eq.ra; times cos(dec)
    pm_dec_mas_per_yr double,           -- unit=mas/yr; ucd=pos.pm;pos.eq.dec
    parallax_mas double,                -- unit=mas; ucd=pos.parallax
    parallax_err_mas double,            -- unit=mas; 1-sigma
    rank_mag double,                    -- unit=mag; in any band: tells bright from faint, no more
);

-- How bright a reference star is. One row per star, band and photometric system.
create table reference_magnitude (
    reference_star_id integer not null, -- table reference_star
    band varchar not null,              -- g, V, BP ...; B-V or BP-RP: a colour, if only that is given
    photometric_system varchar not null, -- Pan-STARRS, SDSS, Gaia DR3, Johnson-Cousins, 2MASS ...
    mag double not null,                -- unit=mag; ucd=phot.mag
    mag_err double,                     -- unit=mag; 1-sigma; null: not given
    is_derived boolean not null,        -- reckoned from other bands by whoever made the file
);

-- What is known of a variable star. One row per reference star of a catalogue of variables.
create table variable_star (
    reference_star_id integer not null, -- table reference_star
    variability varchar not null,       -- variable, suspected, constant (or not there), duplicate
    variable_type varchar,              -- EA, RRAB, EP ... as in the GCVS; null: not known
    period_d double,                    -- unit=d; ucd=time.period
    max_mag double,                     -- unit=mag; at maximum light
    max_band varchar,                   -- pass band of the maximum, as given
    min_mag double,                     -- unit=mag; at minimum light; null where an amplitude is given
    min_band varchar,                   -- pass band of the minimum or the amplitude, as given
    amplitude_mag double,               -- unit=mag; from maximum to minimum; null where neither is given
);

-- The reference star that a source is. One row per source and catalogue that has a star there.
create table reference_match (
    field_id integer not null,          -- table field
    source_id integer not null,         -- table source
    catalogue_name varchar not null,    -- table reference_catalogue
    reference_star_id integer not null, -- table reference_star
    separation_arcsec double not null,  -- unit=arcsec; at the epoch at which the source was found
    n_candidate smallint not null,      -- stars within reach that are bright enough to be it
    is_ambiguous boolean not null,      -- several candidates, or other sources that claim the same star
    neighbour_arcsec double,            -- unit=arcsec; distance of the nearest disturbing star; null: none
    neighbour_fainter_mag double,       -- unit=mag; by how much that one is fainter; null: not known
);

-- How a catalogue covers a field. One row per field and catalogue.
create table reference_field (
    field_id integer not null,          -- table field
    catalogue_name varchar not null,    -- table reference_catalogue
    catalogue_id integer not null,      -- newest import that was taken into account
    sources_hash varchar not null,      -- of the positions of the sources that were matched
    n_source integer not null,          -- sources with a position
    n_star integer not null,            -- stars of the catalogue within the circle around the sources
    n_match integer not null,           -- sources that are a star of the catalogue
    n_ambiguous integer not null,       -- of these, ambiguous ones
    radius_arcsec double not null,      -- unit=arcsec; how far apart the two may lie
    separation_arcsec double,           -- unit=arcsec; median of the unambiguous matches; null: none
);
