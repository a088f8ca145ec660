-- In which catalogues, systems and bands the stars of frames are, unambiguously. One row per
-- catalogue, photometric system and band. $frame_ids
select
    reference_photometry.catalogue_name,
    reference_photometry.photometric_system,
    reference_photometry.band,
    count(distinct reference_photometry.source_id) as n_star
from (select unnest($frame_ids::integer[]) as frame_id) as wanted
join field_frame using (frame_id)
join reference_photometry using (field_id)
where not reference_photometry.is_ambiguous and not reference_photometry.is_derived
group by all
order by all;
