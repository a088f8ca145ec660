-- No two packages were loaded as the same one in order.
select sequence
from package
group by sequence
having count(*) > 1;
