-- Nights of a camera and band that were measured and have no gain but what the stars tell, and
-- whose stars were not asked since their measurements changed. One row per camera, night, band, setting.
-- requires: frame_noise
-- column frame_ids: frames of the night that were measured, table frame
-- column recipe: fingerprint of their measurements
create or replace view pending_star_scatter as
with measured as (
    select
        frame.camera_id,
        frame.night,
        frame.band,
        frame.gain_setting,
        frame.x_binning,
        frame.readout_mode,
        list(frame.frame_id order by frame.frame_id) as frame_ids,
        '2/' || md5(string_agg(
            frame.frame_id || ':' || photometry.recipe, ',' order by frame.frame_id
        )) as recipe,
        list(distinct coalesce(asked.recipe, '')) as asked_recipes
    from frame
    join frame_quality using (frame_id)
    join frame_noise using (frame_id)
    join product as photometry on
        photometry.frame_id = frame.frame_id and photometry.step = 'photometry'
    left join product as asked on asked.frame_id = frame.frame_id and asked.step = 'star scatter'
    where
        coalesce(frame_noise.gain_source, 'star scatter') = 'star scatter'
        and frame.night is not null
    group by all
)

select * exclude (asked_recipes)
from measured
where asked_recipes <> [recipe];
