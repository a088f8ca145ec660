-- Noise of one sky pixel of an annulus, from frame to frame. It is the annulus's own scatter, but where
-- the sky is brighter than the frame's by more than the frame's noise (a cluster's core, a galaxy) the
-- scatter holds the shape of that light, too, which is the same on every frame: there it is no more than
-- the frame's noise with the photons of the light that is added. Null for a null.
create or replace macro pixel_noise_adu(
    sky_adu_per_pix, sky_rms_adu, frame_sky_adu, frame_rms_adu, gain_e_per_adu
) as
    case
        when
            sky_adu_per_pix > frame_sky_adu + frame_rms_adu
            and gain_e_per_adu > 0
            and sky_rms_adu is not null
            then least(
                sky_rms_adu,
                sqrt(pow(frame_rms_adu, 2) + (sky_adu_per_pix - frame_sky_adu) / gain_e_per_adu)
            )
        else sky_rms_adu
    end;
