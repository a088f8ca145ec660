-- Level and noise of every master beside the noise that its frames, their number and the gain
-- predict. Read noise and gain are those measured nearest in time. One row per master.
-- column expected_noise_adu: unit=adu; of one pixel, of a flat at its level
-- column noise_ratio: measured over expected noise; about 1 if all is well
create or replace view master_noise as
with near as (
    select
        master.master_id,
        first(gain_fit order by abs(gain_fit.night - master.night), gain_fit.band) as fit
    from master
    join gain_fit on
        gain_fit.camera_id = master.camera_id
        and gain_fit.gain_setting is not distinct from master.gain_setting
        and gain_fit.x_binning is not distinct from master.x_binning
        and gain_fit.readout_mode is not distinct from master.readout_mode
        and gain_fit.method = 'photon transfer'
        and gain_fit.gain_e_per_adu is not null
    group by master.master_id
),

variance as (
    select
        master.master_id,
        near.fit.read_noise_e as read_noise_e,
        near.fit.gain_e_per_adu as gain_e_per_adu,
        -- of one frame, electrons squared
        near.fit.read_noise_e ** 2
        + case
            when master.kind = 'bias' then 0
            when master.kind = 'flat' or master.is_bias_subtracted
                then greatest(master.level_adu, 0) * near.fit.gain_e_per_adu
        end as variance_e2,
        -- the median of so many numbers scatters more than their mean
        case
            when master.method <> 'median' then 1
            when master.n_frame < 3 then 1
            when master.n_frame = 3 then 1.346
            when master.n_frame = 4 then 1.193
            else pi() / 2
        end / master.n_frame as share
    from master
    join near using (master_id)
)

select
    master.master_id,
    master.kind,
    master.night,
    master.band,
    master.n_frame,
    master.method,
    master.level_adu,
    master.noise_adu,
    sqrt(variance.variance_e2 * variance.share) / variance.gain_e_per_adu as expected_noise_adu,
    master.noise_adu / nullif(expected_noise_adu, 0) as noise_ratio
from master
left join variance using (master_id);
