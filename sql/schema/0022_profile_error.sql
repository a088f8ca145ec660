-- What the profile of a frame misses, and the stars that correct it.

alter table point_spread add column n_table_star integer; -- stars behind the table added to the profile; 0: none
alter table point_spread add column n_table_term integer; -- 1: the same table everywhere; 3: it changes linearly over the frame; 0: none
alter table point_spread add column profile_err double; -- of a flux by fit, relative, by what the profile misses; null: not measured

alter table aperture_flux add column neighbour_adu float; -- unit=adu; light of neighbours that a fit took off, in quadrature; null for circles
