-- Reference stars near the sources of a field, each moved to the epoch at which the source was found.
-- The step registers `near_cell` (source_id, cell_order, cell): the HEALPix cells around each source in
-- some orders, three apart. A star that hardly moves is looked for in the finest of them, one that
-- moved far since the epoch of its place in one whose cells are wide enough.
-- One row per source and reference star within $radius_arcsec.
-- $field_id, $radius_arcsec, $narrowest_arcsec (width of a cell of order 0)
with placed as (
    select
        source.source_id,
        source.dec_deg,
        jyear_of(frame.mid_utc) as epoch_jyear,
        unit_vector(source.ra_deg, source.dec_deg) as place
    from source
    join frame on frame.frame_id = source.first_frame_id
    where source.field_id = $field_id::integer and source.ra_deg is not null
),

span as (
    select
        min(epoch_jyear) as first_jyear,
        max(epoch_jyear) as last_jyear,
        min(dec_deg) - 2 as south_deg,
        max(dec_deg) + 2 as north_deg
    from placed
),

finest as (
    select max(cell_order)::integer as finest_order
    from near_cell
),

moving as (
    select
        star.*,
        $radius_arcsec::double + coalesce(
            0.001 * sqrt(2) * greatest(abs(pm_ra_mas_per_yr), abs(pm_dec_mas_per_yr))
            * greatest(abs(span.first_jyear - epoch_jyear), abs(span.last_jyear - epoch_jyear)),
            0
        ) as reach_arcsec,
        case
            when reach_arcsec <= $narrowest_arcsec::double / (1 << finest_order) then finest_order
            else finest_order - 3 * ceil(
                (finest_order - floor(log2($narrowest_arcsec::double / reach_arcsec))) / 3
            )::integer
        end as cell_order,
        healpix >> (2 * (29 - cell_order)) as cell
    from reference_star as star
    cross join span
    cross join finest
    where star.dec_deg between span.south_deg and span.north_deg
),

pair as (
    select
        placed.source_id,
        moving.catalogue_name,
        moving.reference_star_id,
        moving.rank_mag,
        separation_of(placed.place, moved_vector(
            moving.ra_deg,
            moving.dec_deg,
            moving.pm_ra_mas_per_yr,
            moving.pm_dec_mas_per_yr,
            placed.epoch_jyear - moving.epoch_jyear
        )) as separation_arcsec
    from near_cell
    join moving using (cell_order, cell)
    join placed using (source_id)
    where abs(moving.dec_deg - placed.dec_deg) * 3600 <= reach_arcsec
)

from pair
where separation_arcsec <= $radius_arcsec::double
order by source_id, catalogue_name, separation_arcsec, reference_star_id;
