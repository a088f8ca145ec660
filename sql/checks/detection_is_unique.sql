-- No two detections of a search lie at one place.
select
    search_id,
    x_pix,
    y_pix
from detection
group by search_id, x_pix, y_pix
having count(*) > 1;
