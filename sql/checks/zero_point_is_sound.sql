-- A zero point is of a measured frame; a borrowed one names a frame of the same band that has its
-- own; a colour term names its colour and pivot.
select frame_id
from zero_point
anti join frame_quality using (frame_id)
union all
select frame_id
from zero_point
where (method = 'borrowed') <> (borrowed_frame_id is not null)
union all
select zero_point.frame_id
from zero_point
join frame using (frame_id)
left join zero_point as lender on
    lender.frame_id = zero_point.borrowed_frame_id
    and lender.aperture_id = zero_point.aperture_id
    and lender.method <> 'borrowed'
left join frame as lender_frame on lender_frame.frame_id = lender.frame_id
where
    zero_point.method = 'borrowed'
    and (lender.frame_id is null or lender_frame.band is distinct from frame.band)
union all
select frame_id
from zero_point
where colour_term is not null and (colour is null or colour_pivot_mag is null);
