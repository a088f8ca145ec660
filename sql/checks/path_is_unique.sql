-- No two rows of path share path.
select path
from path
group by path
having count(*) > 1;
