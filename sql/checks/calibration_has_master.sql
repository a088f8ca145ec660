-- Every calibration used known masters, each of its kind. Frames that are to be measured again are
-- left out: their masters may have been made anew.
with used as (
    select
        frame_id,
        unnest([
            {kind: 'bias', master_id: bias_master_id},
            {kind: 'dark', master_id: dark_master_id},
            {kind: 'flat', master_id: flat_master_id}
        ], recursive := true)
    from calibration
    semi join (select * from product where step = 'photometry' and state = 'done') as done
        using (frame_id)
    anti join pending_photometry using (frame_id)
)

select
    frame_id,
    kind,
    master_id
from used
anti join master using (master_id, kind)
where master_id is not null;
