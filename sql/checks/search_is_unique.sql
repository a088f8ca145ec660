-- No two rows of search share search_id.
select search_id
from search
group by search_id
having count(*) > 1;
