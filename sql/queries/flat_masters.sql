-- Master flats of a camera that are in use, oldest night first. One row per master. $camera
select
    master.master_id,
    master.night,
    master.band,
    master.n_x_pix,
    master.n_y_pix,
    master.x_binning,
    master.n_frame,
    master.level_adu,
    master.noise_adu,
    master.file_name,
    master.checksum
from master
join camera using (camera_id)
anti join retired_master using (master_id)
where master.kind = 'flat' and camera.camera_name = $camera
order by master.band, master.night, master.master_id;
