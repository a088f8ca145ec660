-- What neighbours do to the light in a circle when the stars change their width.

alter table aperture_flux add column neighbour_slope_adu float; -- unit=adu; change of the neighbours' light in the circle per unit of ln FWHM; null for fits
