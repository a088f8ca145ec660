-- What failed of a night: its frames, and masters or gains named after it; the newest message of
-- each. One row per step and subject. $night
select
    failure.step,
    failure.subject,
    arg_max(failure.message, failure.failed_utc) as message,
    max(failure.failed_utc) as failed_utc
from failure
left join frame using (frame_id)
where frame.night = $night::date or contains(failure.subject, $night::varchar)
group by failure.step, failure.subject
order by failure.step, failure.subject;
