-- Value of the flag that the view light_curve sets for all measurements of a frame behind clouds.
create or replace macro low_transparency_bit() as
    131072;
