-- Tables and views with their meaning. One row per table or view.
select
    table_name,
    'table' as kind,
    "comment" as meaning
from duckdb_tables()
where not internal
union all
select
    view_name as table_name,
    'view' as kind,
    "comment" as meaning
from duckdb_views()
where not internal
order by kind, table_name;
