-- Columns of a table or view with type, unit and meaning. One row per column. $table_name
select
    duckdb_columns.column_name,
    lower(duckdb_columns.data_type) as data_type,
    regexp_extract("comment", 'unit=([^;]+)', 1) as unit,
    regexp_extract("comment", 'ucd=([^ ]+?)(;? |$)', 1) as ucd,
    trim(regexp_replace("comment", '(unit|ucd)=[^; ]+(;[^ ]+)?;? ?', '', 'g')) as meaning
from duckdb_columns()
where not internal and table_name = $table_name
order by column_index;
