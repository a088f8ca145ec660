-- No two rows of quarantine share path.
select path
from quarantine
group by path
having count(*) > 1;
