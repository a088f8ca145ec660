-- A target and the stars of its field within a range of brightness. One row per star.
-- $source_id, $max_fainter_mag, $max_brighter_mag
select candidate.source_id
from field_star as target
join field_star as candidate using (field_id)
where
    target.source_id = $source_id::integer
    and (
        candidate.source_id = target.source_id
        -- brightness at detection is rough: half a magnitude more than will be asked for
        or -2.5 * log10(candidate.flux_adu / target.flux_adu) between
        -($max_brighter_mag::double + 0.5) and $max_fainter_mag::double + 0.5
    )
order by candidate.source_id;
