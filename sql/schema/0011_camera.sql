-- What a camera was measured to do at high levels, and which part of its sensor a frame shows.

-- Linearity of a camera. One row per ramp and level.
create table linearity_point (
    camera_id integer not null,         -- table camera
    night date not null,                -- first night of the ramp
    band varchar,                       -- band of the flats
    gain_setting double,                -- the camera's gain knob
    x_binning smallint,                 -- unit=pix
    readout_mode varchar,               -- read-out mode
    level_adu double not null,          -- unit=adu; above the bias
    factor double not null,             -- what the level is multiplied by to be proportional to light
    factor_err double not null,         -- 1-sigma error of it
);

alter table ramp_fit add column nonlinear_adu double; -- unit=adu; raw level from which the camera departs from a line by more than allowed; null: nowhere, or not measurable
alter table ramp_fit add column is_linearity_correctable boolean; -- its linearity points correct frames; false: they only tell what to flag

alter table camera add column linearity_adu double; -- unit=adu; raw level from which pixels are flagged as non-linear; from the configuration, else null

alter table frame add column x_first_pix integer; -- unit=pix; column of the sensor, binned and 0-based, where a sub-frame begins; null: unknown
alter table frame add column y_first_pix integer; -- unit=pix; the same of its rows
alter table master add column x_first_pix integer; -- unit=pix; column of the sensor, binned and 0-based, where its frames begin; null: unknown
alter table master add column y_first_pix integer; -- unit=pix; the same of its rows

alter table calibration add column bias_days double; -- unit=d; nights between light and bias
alter table calibration add column linearity_source varchar; -- configuration, or ramp: whose linearity corrected or flagged pixels; null: none
