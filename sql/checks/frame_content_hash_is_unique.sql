-- No two rows of frame share content_hash.
select content_hash
from frame
group by content_hash
having count(*) > 1;
