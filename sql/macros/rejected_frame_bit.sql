-- Value of the flag that the view light_curve sets for all measurements of a rejected frame.
create or replace macro rejected_frame_bit() as
    2097152;
