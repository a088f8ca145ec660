-- Reference frames without a sky solution, or with that of a header only, which were not yet tried
-- with the solver, index files, catalogues and stars at hand. One row per field.
-- requires: field_solution
create or replace view pending_solution as
from field_solution
where coalesce(method_of_wcs, 'header') = 'header' and tried is distinct from recipe;
