"""Which measured gain is in force for a frame."""

from datetime import date

NIGHT = date(2024, 3, 8)


def test_of_the_gains_of_one_night_that_of_the_frames_own_band_counts(database, fill):
    def put(table, *rows):
        database.register("given", fill(table, list(rows)))
        database.execute(f"insert into {table} by name from given")

    put("camera", {"camera_id": 1})
    gains = {"g": 1.1, "r": 1.2, "z": 1.3}
    common = {"camera_id": 1, "night": NIGHT, "x_binning": 1}
    fits = [common | {"band": b, "gain_e_per_adu": g} for b, g in gains.items()]
    put("gain_fit", *(fit | {"method": "photon transfer"} for fit in fits))
    bands = ["z", "r", "g", "i"]
    frames = [common | {"frame_id": i, "content_hash": b, "band": b} for i, b in enumerate(bands)]
    put("frame", *frames)
    found = database.sql("from frame_noise order by frame_id").pl()["gain_e_per_adu"].to_list()
    assert found == [1.3, 1.2, 1.1, 1.1]  # of no band of its own, always the same
