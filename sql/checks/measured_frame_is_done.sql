-- What is done is there: a frame whose photometry is done has a quality row and a registration.
select frame_id
from product
anti join frame_quality using (frame_id)
where step = 'photometry' and state = 'done'
union all
select frame_id
from product
anti join registration using (frame_id)
where step = 'photometry' and state = 'done';
