-- Light frames in the data model of the Virtual Observatory (IVOA ObsCore 1.1). Limits of bands are the
-- centres and widths at half maximum of their system: Fukugita et al. 1996 (u g r i z), Bessell 1990
-- (U B V R I). One row per path of a light frame.
-- column dataproduct_type: ucd=meta.code.class; always image
-- column calib_level: ucd=meta.code;obs.calib; 1: raw data in a standard format
-- column obs_collection: ucd=meta.id; name of the telescope, or starmuster
-- column obs_id: ucd=meta.id; hash of the file's content
-- column obs_publisher_did: ucd=meta.ref.ivoid; the same as an identifier
-- column access_url: ucd=meta.ref.url; where the file was seen
-- column access_format: ucd=meta.code.mime
-- column access_estsize: unit=kbyte; ucd=phys.size;meta.file
-- column target_name: ucd=meta.id;src; OBJECT as given
-- column s_ra: unit=deg; ucd=pos.eq.ra; centre of the frame as solved, else as pointed
-- column s_dec: unit=deg; ucd=pos.eq.dec
-- column s_fov: unit=deg; ucd=phys.angSize;instr.fov; diagonal
-- column s_resolution: unit=arcsec; ucd=pos.angResolution; median FWHM of the frame; null: not measured
-- column s_pixel_scale: unit=arcsec; ucd=phys.angSize;instr.pixel
-- column s_xel1: ucd=meta.number; pixels along the first axis
-- column s_xel2: ucd=meta.number; pixels along the second axis
-- column t_min: unit=d; ucd=time.start;obs.exposure; MJD, UTC
-- column t_max: unit=d; ucd=time.end;obs.exposure; MJD, UTC
-- column t_exptime: unit=s; ucd=time.duration;obs.exposure
-- column t_resolution: unit=s; ucd=time.resolution
-- column t_xel: ucd=meta.number; always 1
-- column em_min: unit=m; ucd=em.wl;stat.min; null: a band without known limits
-- column em_max: unit=m; ucd=em.wl;stat.max
-- column em_res_power: ucd=spect.resolution
-- column em_xel: ucd=meta.number; always 1
-- column o_ucd: ucd=meta.ucd; what a pixel holds
-- column pol_states: ucd=meta.code;phys.polarization; null: none measured
-- column pol_xel: ucd=meta.number; always 1
-- column facility_name: ucd=meta.id;instr.tel
-- column instrument_name: ucd=meta.id;instr
create or replace view v_obscore as
with wavelength as (
    select *
    from (
        values
        ('u', 355.7, 59.9), ('g', 482.5, 137.9), ('r', 626.1, 138.2), ('i', 767.2, 153.5),
        ('z', 909.7, 137.0), ('U', 366.0, 65.0), ('B', 436.0, 89.0), ('V', 545.0, 84.0),
        ('R', 641.0, 158.0), ('I', 798.0, 154.0)
    ) as filters (band, centre_nm, width_nm)
)

select
    'image' as dataproduct_type,
    1 as calib_level,
    coalesce(camera.telescope_name, 'starmuster') as obs_collection,
    frame.content_hash as obs_id,
    'ivo://starmuster/frame?' || frame.content_hash as obs_publisher_did,
    'file://' || path.path as access_url,
    'image/fits' as access_format,
    (frame.size_byte / 1000)::bigint as access_estsize,
    frame.target_name,
    coalesce(field.ra_deg, frame.ra_deg) as s_ra,
    coalesce(field.dec_deg, frame.dec_deg) as s_dec,
    sqrt(pow(frame.n_x_pix, 2) + pow(frame.n_y_pix, 2))
    * coalesce(wcs.scale_arcsec_per_pix, frame.scale_arcsec_per_pix) / 3600 as s_fov,
    frame_quality.fwhm_pix
    * coalesce(wcs.scale_arcsec_per_pix, frame.scale_arcsec_per_pix) as s_resolution,
    coalesce(wcs.scale_arcsec_per_pix, frame.scale_arcsec_per_pix) as s_pixel_scale,
    frame.n_x_pix as s_xel1,
    frame.n_y_pix as s_xel2,
    jd_utc(frame.mid_utc) - 2400000.5 - frame.exposure_s / 172800 as t_min,
    jd_utc(frame.mid_utc) - 2400000.5 + frame.exposure_s / 172800 as t_max,
    frame.exposure_s as t_exptime,
    frame.exposure_s as t_resolution,
    1 as t_xel,
    (wavelength.centre_nm - wavelength.width_nm / 2) / 1e9 as em_min,
    (wavelength.centre_nm + wavelength.width_nm / 2) / 1e9 as em_max,
    wavelength.centre_nm / wavelength.width_nm as em_res_power,
    1 as em_xel,
    'phot.count' as o_ucd,
    null::varchar as pol_states,
    1 as pol_xel,
    camera.telescope_name as facility_name,
    camera.camera_name as instrument_name
from frame
join camera using (camera_id)
join path using (frame_id)
left join field_frame using (frame_id)
left join field using (field_id)
left join wcs using (frame_id)
left join frame_quality using (frame_id)
left join wavelength using (band)
where frame.frame_type = 'light';
