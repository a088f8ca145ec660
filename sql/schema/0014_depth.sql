-- Sky by two ways, shapes, light on missing pixels, curves of growth, fitted profiles.

alter table measurement add column sky_mesh_adu_per_pix float; -- unit=adu/pix; of the frame's mesh at the star
alter table measurement add column sky_mesh_rms_adu float; -- unit=adu; noise of one sky pixel there, of the mesh
alter table measurement add column x_offset_pix float; -- unit=pix; centre of the light minus x_pix; null: too faint or none
alter table measurement add column y_offset_pix float; -- unit=pix; centre of the light minus y_pix
alter table measurement add column is_recentred boolean; -- its apertures lie on the centre of the light; null: not asked for
alter table measurement add column ellipticity float; -- 1 - minor / major axis, from moments; null if too faint
alter table measurement add column angle_deg float; -- unit=deg; of the major axis, from the x to the y axis

alter table aperture_flux add column missing_fraction float; -- of the light of the aperture, on pixels without a value; flux_adu is corrected for it
alter table aperture_flux add column sky_adu_per_pix float; -- unit=adu/pix; sky taken off, where it is not that of measurement
alter table aperture_flux add column residual_fraction float; -- what a fitted profile leaves over, absolute, over the flux; null for circles

-- The light of a star within a radius, from bright and lonely stars. One row per frame and radius.
create table curve_of_growth (
    frame_id integer not null,          -- table frame
    aperture_id smallint,               -- table aperture; null: a radius between
    radius_pix float not null,          -- unit=pix
    total_radius_pix float not null,    -- unit=pix; radius that counts as the whole light
    enclosed_fraction double not null,  -- of the light within the total radius, median of the stars
    enclosed_fraction_err double not null, -- its standard error, from the scatter of the stars
    n_star integer not null,            -- stars it comes from
);

-- The profile of a star in a frame, for photometry by fits. One row per frame.
create table point_spread (
    frame_id integer not null,          -- table frame
    model varchar not null,             -- gaussian, moffat, epsf (sampled from the frame's stars)
    fwhm_pix double not null,           -- unit=pix; of the profile
    beta double,                        -- exponent of a Moffat profile
    noise_pix double not null,          -- unit=pix; pixels of noise in a flux by fit, 1 / sum of squares
    residual_fraction double,           -- median of the fits of bright stars
    n_star integer not null,            -- stars it comes from
);

-- A profile fitted to a star by itself. One row per frame and source.
create table profile_fit (
    frame_id integer not null,          -- table frame
    source_id integer not null,         -- table source
    model varchar not null,             -- gaussian, moffat
    x_pix double,                       -- unit=pix; ucd=pos.cartesian.x;instr.det; null: no convergence
    y_pix double,                       -- unit=pix; ucd=pos.cartesian.y;instr.det
    flux_adu double,                    -- unit=adu; ucd=phot.flux; volume of the profile
    sky_adu_per_pix double,             -- unit=adu/pix; constant below the profile
    fwhm_pix double,                    -- unit=pix; mean of the axes
    ellipticity double,                 -- 1 - minor / major axis
    angle_deg double,                   -- unit=deg; of the major axis, from the x to the y axis
    beta double,                        -- exponent of a Moffat profile
    rms_adu double,                     -- unit=adu; of the residuals
    reduced_chi2 double,                -- against the sky noise and the photons; null without a gain
    n_pix integer not null,             -- unit=pix; pixels that were fitted
);
