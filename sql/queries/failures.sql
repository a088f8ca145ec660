-- What failed and why, newest first; the last failure of each item and step, and none of a frame
-- whose step was done since. One row per failed item and step. $step
with newest as (
    select *
    from failure
    where $step is null or step = $step
    qualify row_number() over (partition by step, subject order by failed_utc desc) = 1
)

select
    newest.failed_utc,
    newest.run_id,
    newest.step,
    newest.frame_id,
    newest.subject,
    newest.error,
    newest.message
from newest
anti join product on
    product.frame_id = newest.frame_id
    and product.step = newest.step
    and product.state = 'done'
order by newest.failed_utc desc, newest.subject;
