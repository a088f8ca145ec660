-- No two rows of flag share bit.
select bit
from flag
group by bit
having count(*) > 1;
