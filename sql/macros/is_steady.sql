-- Whether flags speak for a magnitude that can be held against those of other frames: none is severe,
-- the star lies on the frame with its sky, where it was expected and well placed, and no cloud is there.
create or replace macro is_steady(flags) as
    flags & (
        select coalesce(bit_or("value"), 0)::integer
        from flag
        where
            is_severe
            or flag_name in (
                'EDGE', 'MOVED_OFF', 'EXTRAPOLATED', 'PARTLY_MASKED', 'LOW_TRANSPARENCY', 'AMBIGUOUS'
            )
    ) = 0;
