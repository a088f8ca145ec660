-- The best masters for a frame, by rule: same camera, binning, gain and offset setting and read-out
-- mode, and the same part of the sensor or one that holds it; never another telescope's. Bias:
-- nearest night. Dark: same exposure (within 2 %) before any other (which must be scalable), nearest
-- temperature (unknown ones last), exposure, night. Flat: same band, nearest night. Limits come from
-- table setting. One row per frame of a
-- known type. Retired masters are left out. Where none fits, the reason names the nearest and what
-- is wrong with it.
-- column bias_master_id: table master; null: none matched, or none needed
-- column dark_master_id: table master; null: none matched, or none needed
-- column flat_master_id: table master; null: none matched, or none needed
-- column dark_scale: exposure of the frame over that of the dark; null: not scaled
-- column reason: in words what would be used, what is missing and why
create or replace view calibration_choice as
with rule as (
    select
        max("value") filter (setting_name = 'masters.max_days')::double as max_days,
        max("value") filter (setting_name = 'masters.max_dark_kelvin')::double as max_kelvin,
        ln(max("value") filter (setting_name = 'masters.max_dark_stretch')::double) as max_stretch,
        max("value") filter (setting_name = 'masters.scale_darks')::boolean as scale_darks
    from setting
),

library as (
    select
        master.*,
        master_file.trim
    from master
    left join master_file using (master_id)
    anti join retired_master using (master_id)
),

-- Frames that need the same are looked up once: 20,000 frames and 1,000 masters would be 20 million
-- pairs. The temperature counts to a tenth of a kelvin here.
wanted as (
    select
        frame.*,
        unnest(case frame.frame_type
            when 'light' then ['bias', 'dark', 'flat']
            when 'flat' then ['bias', 'dark']
            when 'bias' then []
            else ['bias']
        end) as kind
    from frame
    where frame.frame_type is not null
),

need as (
    select
        kind,
        camera_id,
        x_binning,
        y_binning,
        n_x_pix,
        n_y_pix,
        x_first_pix,
        y_first_pix,
        gain_setting,
        offset_setting,
        readout_mode,
        night,
        case when kind = 'flat' then band end as band,
        case when kind = 'dark' then exposure_s end as exposure_s,
        case when kind = 'dark' then round(sensor_degc, 1) end as sensor_degc,
        list(frame_id) as frame_ids
    from wanted
    group by all
),

candidate as (
    select
        need.kind,
        need.frame_ids,
        master.master_id,
        master.night,
        master.exposure_s,
        master.sensor_degc,
        abs(master.night - need.night) as days,
        (master.n_x_pix, master.n_y_pix) <> (need.n_x_pix, need.n_y_pix) as is_cut,
        need.sensor_degc - master.sensor_degc as kelvin,
        case
            when need.exposure_s > 0 and master.exposure_s > 0
                then need.exposure_s / master.exposure_s
        end as exposure_ratio,
        -- null without exposure times: such a dark fits nothing
        case when exposure_ratio > 0 then abs(ln(exposure_ratio)) end as stretch
    from need
    join library as master on
        master.kind = need.kind
        and master.camera_id = need.camera_id
        and master.x_binning is not distinct from need.x_binning
        and master.y_binning is not distinct from need.y_binning
        and lies_within(
            need.x_first_pix, need.n_x_pix, master.x_first_pix, master.n_x_pix, master.trim
        )
        and lies_within(
            need.y_first_pix, need.n_y_pix, master.y_first_pix, master.n_y_pix, master.trim
        )
        and master.gain_setting is not distinct from need.gain_setting
        and master.offset_setting is not distinct from need.offset_setting
        and master.readout_mode is not distinct from need.readout_mode
        and (master.kind <> 'flat' or master.band is not distinct from need.band)
    cross join rule
    where
        days <= rule.max_days
        and (
            need.kind <> 'dark'
            or (
                abs(coalesce(kelvin, 0)) <= rule.max_kelvin
                and (
                    stretch < 0.02
                    or (
                        stretch between 0.02 and rule.max_stretch
                        and rule.scale_darks
                        and master.is_bias_subtracted
                    )
                )
            )
        )
),

picked as (
    select
        kind,
        frame_ids,
        -- what has no exposure or temperature to go by goes by the night alone
        first(
            candidate order by
                stretch >= 0.02,
                kind = 'dark' and kelvin is null,
                round(abs(kelvin)),
                round(stretch, 2),
                days, night, is_cut, master_id
        ) as pick
    from candidate
    group by kind, frame_ids
),

pick_of as (
    select
        unnest(frame_ids) as frame_id,
        kind,
        pick
    from picked
),

bias as (
    select frame_id, pick from pick_of where kind = 'bias'
),

dark as (
    select frame_id, pick from pick_of where kind = 'dark'
),

flat as (
    select frame_id, pick from pick_of where kind = 'flat'
),

rejected as (
    select
        need.kind,
        need.frame_ids,
        master.master_id,
        abs(master.night - need.night) as days,
        lies_within(
            need.x_first_pix, need.n_x_pix, master.x_first_pix, master.n_x_pix, master.trim
        )
        and lies_within(
            need.y_first_pix, need.n_y_pix, master.y_first_pix, master.n_y_pix, master.trim
        ) as is_shown,
        list_filter([
            case
                when is_shown then null
                when (master.n_x_pix, master.n_y_pix) <> (need.n_x_pix, need.n_y_pix)
                    then printf('%d x %d pixels', master.n_x_pix, master.n_y_pix)
                else printf('begins at pixel %d, %d', master.x_first_pix, master.y_first_pix)
            end,
            case
                when
                    master.x_binning is distinct from need.x_binning
                    or master.y_binning is distinct from need.y_binning
                    then 'another binning'
            end,
            case
                when master.gain_setting is distinct from need.gain_setting
                    then concat('gain setting ', coalesce(master.gain_setting::varchar, 'unknown'))
            end,
            case
                when master.offset_setting is distinct from need.offset_setting
                    then concat('offset ', coalesce(master.offset_setting::varchar, 'unknown'))
            end,
            case
                when master.readout_mode is distinct from need.readout_mode
                    then concat('read-out mode ', coalesce(master.readout_mode, 'unknown'))
            end,
            case
                when master.kind = 'flat' and master.band is distinct from need.band
                    then concat('band ', coalesce(master.band, 'unknown'))
            end,
            case
                when need.night is null then 'the night of the frame is unknown'
                when days > rule.max_days
                    then printf('%d nights away, at most %g allowed', days, rule.max_days)
            end,
            case
                when
                    master.kind = 'dark'
                    and abs(need.sensor_degc - master.sensor_degc) > rule.max_kelvin
                    then printf(
                        '%.1f K off, at most %g allowed',
                        abs(need.sensor_degc - master.sensor_degc),
                        rule.max_kelvin
                    )
            end,
            case
                when master.kind <> 'dark' then null
                when need.exposure_s > 0 and master.exposure_s > 0 then
                    case
                        when abs(ln(need.exposure_s / master.exposure_s)) < 0.02 then null
                        when not rule.scale_darks
                            then printf('%g s, and darks are not to be scaled', master.exposure_s)
                        when not master.is_bias_subtracted
                            then printf('%g s, and it holds its bias', master.exposure_s)
                        when
                            abs(ln(need.exposure_s / master.exposure_s)) > rule.max_stretch
                            then printf(
                                '%g s, and a dark is stretched or shrunk at most %g times',
                                master.exposure_s,
                                exp(rule.max_stretch)
                            )
                    end
                else 'an exposure is unknown or zero'
            end
        ], lambda fault: fault is not null) as faults
    from need
    anti join picked using (kind, frame_ids)
    join library as master on master.camera_id = need.camera_id and master.kind = need.kind
    cross join rule
),

nearest as (
    select
        kind,
        frame_ids,
        first(
            printf(' (nearest: %s %d, %s)', kind, master_id, array_to_string(faults, ', '))
            order by len(faults), days, master_id
        ) as advice
    from rejected
    group by kind, frame_ids
),

advice as (
    select
        frame_id,
        max(advice) filter (kind = 'bias') as bias,
        max(advice) filter (kind = 'dark') as dark,
        max(advice) filter (kind = 'flat') as flat
    from (select unnest(frame_ids) as frame_id, kind, advice from nearest)
    group by frame_id
)

select
    frame.frame_id,
    bias.pick.master_id as bias_master_id,
    dark.pick.master_id as dark_master_id,
    flat.pick.master_id as flat_master_id,
    case when dark.pick.stretch >= 0.02 then dark.pick.exposure_ratio end as dark_scale,
    bias.pick.days::double as bias_days,
    dark.pick.days::double as dark_days,
    frame.sensor_degc - dark.pick.sensor_degc as dark_kelvin,
    flat.pick.days::double as flat_days,
    concat_ws(
        '; ',
        case
            when frame.frame_type = 'bias' then null
            when bias.pick.master_id is null
                then concat('no bias of this camera and setting', advice.bias)
            when bias.pick.days > 0 then printf('bias of %d nights away', bias.pick.days)
        end,
        case
            when frame.frame_type not in ('light', 'flat') then null
            when dark.pick.master_id is null
                then concat('no dark of this camera, setting and temperature', advice.dark)
            when dark.pick.stretch >= 0.02
                then printf('dark of %g s scaled', dark.pick.exposure_s)
            when dark.pick.days > 0 then printf('dark of %d nights away', dark.pick.days)
        end,
        case
            when frame.frame_type <> 'light' then null
            when flat.pick.master_id is null
                then concat('no flat of this camera and band', advice.flat)
            when flat.pick.days > 0 then printf('flat of %d nights away', flat.pick.days)
        end
    ) as reason
from frame
left join bias using (frame_id)
left join dark using (frame_id)
left join flat using (frame_id)
left join advice using (frame_id)
where frame.frame_type is not null;
