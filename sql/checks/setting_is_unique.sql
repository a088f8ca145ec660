-- No two rows of setting share setting_name.
select setting_name
from setting
group by setting_name
having count(*) > 1;
