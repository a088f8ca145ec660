-- Whether a frame's extent along one axis of the sensor lies within a master's. Of one length they
-- are taken to show the same, unless both say where they begin and differ; a shorter frame must say
-- where it begins, and a master that was trimmed is never cut.
create or replace macro lies_within(first_pix, n_pix, master_first_pix, master_n_pix, master_trim) as
    case
        when n_pix = master_n_pix then coalesce(first_pix = master_first_pix, true)
        else
            master_trim is null
            and coalesce(
                first_pix >= coalesce(master_first_pix, 0)
                and first_pix + n_pix <= coalesce(master_first_pix, 0) + master_n_pix,
                false
            )
    end;
