-- Gain and read noise in force for a frame, and where they come from: measured from flats and
-- biases of the nearest night (of its bands the frame's own first), else configured, else the
-- header's, else the scatter of stars.
-- One row per frame.
-- column gain_source: photon transfer, configuration, header, star scatter
create or replace view frame_noise as
with nearest as (
    select
        frame.frame_id,
        gain_fit.method,
        first(
            gain_fit order by
                abs(gain_fit.night - frame.night),
                gain_fit.night,
                gain_fit.band is distinct from frame.band,
                gain_fit.band
        ) as fit
    from frame
    join gain_fit on
        gain_fit.camera_id = frame.camera_id
        and gain_fit.gain_setting is not distinct from frame.gain_setting
        and gain_fit.x_binning is not distinct from frame.x_binning
        and gain_fit.readout_mode is not distinct from frame.readout_mode
        and gain_fit.gain_e_per_adu is not null
        -- the scatter of stars holds for its own night and band only
        and (
            gain_fit.method = 'photon transfer'
            or (gain_fit.night = frame.night and gain_fit.band is not distinct from frame.band)
        )
    group by frame.frame_id, gain_fit.method
),

measured as (
    select
        frame_id,
        any_value(fit) filter (method = 'photon transfer') as transfer,
        any_value(fit) filter (method = 'star scatter') as scatter
    from nearest
    group by frame_id
)

select
    frame.frame_id,
    coalesce(
        transfer.gain_e_per_adu,
        camera.gain_e_per_adu,
        frame.egain_e_per_adu,
        scatter.gain_e_per_adu
    ) as gain_e_per_adu,
    case
        when transfer.gain_e_per_adu is not null then 'photon transfer'
        when camera.gain_e_per_adu is not null then 'configuration'
        when frame.egain_e_per_adu is not null then 'header'
        when scatter.gain_e_per_adu is not null then 'star scatter'
    end as gain_source,
    coalesce(transfer.read_noise_e, camera.read_noise_e) as read_noise_e
from frame
join camera using (camera_id)
left join measured using (frame_id);
