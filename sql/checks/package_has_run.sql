-- Every package was loaded by a known run.
select package_id
from package
anti join run using (run_id)
where run_id is not null;
