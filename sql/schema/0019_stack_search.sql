-- Stars found on stacks.

alter table search add column stack_id integer; -- table stack, on which stars were looked for; null: on frames
