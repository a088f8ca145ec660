-- Seasons that begin where the instrument changed, and what the air does to colours.

alter table zero_point add column season_night date; -- first night of the season whose terms it has, see photometric_solution

alter table photometric_solution add column clear_scatter_mag double; -- unit=mag; of the zero points of clear frames about their level and the extinction, beyond their errors; null: no extinction
alter table photometric_solution add column colour_extinction double; -- magnitudes per magnitude of colour and airmass, taken off times (airmass less pivot) times (colour less pivot); null: not determined to 0.01
alter table photometric_solution add column colour_extinction_err double; -- 1-sigma
alter table photometric_solution add column airmass_pivot double; -- airmass that colour_term is for; null: the same at any airmass
