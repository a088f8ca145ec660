"""The step of zero points on stored rows: two nights, a cloud, a field without catalogue stars."""

from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from starmuster.transforms.flags import Flag
from starmuster.transforms.steps.settings import mirror_settings
from starmuster.transforms.steps.zero_points import (
    _solve_aperture,
    choose_standard,
    find_zero_points,
    season_begin,
)
from starmuster.transforms.vantage import vantage
from starmuster.warehouse.config import ZeroPoints
from starmuster.warehouse.runs import Run
from starmuster.warehouse.store import Warehouse, shipped

NIGHTS = (date(2024, 3, 8), date(2024, 3, 11))
N_FRAME, N_STAR, GAIN, EXPOSURE_S = 6, 60, 1.4, 30.0
ZERO_POINT_MAG, CLOUD_MAG, COLOUR_TERM, GRADIENT_MAG = 21.0, 0.36, 0.05, 0.03
CLOUDY, EMPTY = 3, 5  # frames of the first night: under a cloud, without catalogue stars
N_BLENDED = 12  # stars with the light of a neighbour
SIZE_PIX, SKY_RMS_ADU, N_PIX, N_SKY_PIX = 1000, 6.0, 60.0, 100_000
EXTINCTION_MAG = 0.15
SITE = {"latitude_deg": 50.7, "longitude_deg": 7.1, "elevation_m": 60.0}
RA_DEG, DEC_DEG = 120.0, 30.0


def airmass_of(time: datetime) -> float:
    """Airmass of the field by the plain secant, enough for what is asked here."""
    days = (time - datetime(2000, 1, 1, 12)) / timedelta(days=1)
    hour_angle = np.radians(280.461 + 360.98565 * days + SITE["longitude_deg"] - RA_DEG)
    latitude, dec = np.radians((SITE["latitude_deg"], DEC_DEG))
    return 1 / (
        np.sin(latitude) * np.sin(dec) + np.cos(latitude) * np.cos(dec) * np.cos(hour_angle)
    )


def observed() -> tuple[dict[str, pl.DataFrame], pl.DataFrame]:
    """Rows of tables as other steps would have stored them, and the true magnitudes."""
    rng = np.random.default_rng(9)
    mag, colour = rng.uniform(11, 15, N_STAR), rng.normal(0.8, 0.4, N_STAR)
    x, y = rng.uniform(20, SIZE_PIX - 20, (2, N_STAR))
    frames, fluxes = [], []
    for i_night, night in enumerate(NIGHTS):
        for i in range(N_FRAME):
            frame_id = 1 + i_night * N_FRAME + i
            mid_utc = datetime.combine(night, datetime.min.time()) + timedelta(
                hours=20, minutes=50 * i
            )
            frames.append({"frame_id": frame_id, "night": night, "mid_utc": mid_utc})
            cloud = CLOUD_MAG if frame_id == CLOUDY else 0.0
            cloud += EXTINCTION_MAG * airmass_of(mid_utc)
            shift = COLOUR_TERM * (colour - 0.8) + GRADIENT_MAG * (2 * x / (SIZE_PIX - 1) - 1)
            flux = EXPOSURE_S * 10 ** (0.4 * (ZERO_POINT_MAG - cloud + shift - mag))
            flux += rng.normal(0, np.sqrt(flux / GAIN + N_PIX * SKY_RMS_ADU**2))
            clean = frame_id != EMPTY
            is_blended = np.arange(N_STAR) < N_BLENDED
            flux *= np.where(is_blended, 1.4, 1.0)
            fluxes.append(
                pl.DataFrame(
                    {
                        "frame_id": frame_id,
                        "source_id": np.arange(1, N_STAR + 1),
                        "x_pix": x,
                        "y_pix": y,
                        "flux_adu": flux,
                        "flags": np.where(is_blended, Flag.BLENDED.value, 0)
                        | (0 if clean else 1),  # all saturated
                    }
                )
            )
    star = pl.DataFrame({"source_id": np.arange(1, N_STAR + 1), "x_pix": x, "y_pix": y})
    frame, flux = pl.DataFrame(frames), pl.concat(fluxes)
    ids = frame.select("frame_id")
    named = pl.lit("atlas-refcat2").alias("catalogue_name")
    reference = star.select(reference_star_id="source_id")
    magnitudes = [
        reference.with_columns(
            band=pl.lit(band),
            photometric_system=pl.lit("Pan-STARRS"),
            mag=pl.Series(values + rng.normal(0, 0.01, N_STAR)),
            mag_err=pl.lit(0.01),
            is_derived=pl.lit(False),
        )
        for band, values in (("r", mag), ("g", mag + 0.7 * colour), ("i", mag - 0.3 * colour))
    ]
    fixed = {
        "frame_type": "light",
        "band": "r",
        "exposure_s": EXPOSURE_S,
        "camera_id": 1,
        "n_x_pix": SIZE_PIX,
        "n_y_pix": SIZE_PIX,
        "size_byte": 1,
        "hdu_index": 0,
        "header": "[]",
    }
    tables = {
        "camera": pl.DataFrame({"camera_id": 1, "camera_name": "c"}),
        "field": pl.DataFrame(
            {"field_id": 1, "field_name": "f", "ra_deg": RA_DEG, "dec_deg": DEC_DEG}
        ).with_columns(is_on_sky=True),
        "vantage": vantage(
            frame["mid_utc"].to_list(), frame_id=frame["frame_id"].cast(pl.Int32), **SITE
        ),
        "frame": frame.with_columns(
            pl.col("frame_id").cast(pl.String).alias("content_hash"),
            egain_e_per_adu=pl.lit(GAIN),
            **{name: pl.lit(value) for name, value in fixed.items()},
        ),
        "field_frame": ids.with_columns(field_id=pl.lit(1)),
        "frame_quality": ids.with_columns(
            sky_adu=pl.lit(50.0),
            sky_rms_adu=pl.lit(SKY_RMS_ADU),
            n_star=pl.lit(N_STAR),
            n_saturated_pix=pl.lit(0),
            fwhm_pix=pl.lit(3.0),
            flags=pl.lit(0),
        ),
        "measurement": flux.select("frame_id", "source_id", "x_pix", "y_pix", "flags").with_columns(
            sky_rms_adu=pl.lit(SKY_RMS_ADU), n_sky_pix=pl.lit(N_SKY_PIX)
        ),
        "aperture_flux": flux.select("frame_id", "source_id", "flux_adu", "flags").with_columns(
            aperture_id=pl.lit(1), n_pix=pl.lit(N_PIX)
        ),
        "source": star.with_columns(
            field_id=pl.lit(1), flux_adu=pl.lit(1.0), first_frame_id=pl.lit(1), flags=pl.lit(0)
        ),
        "product": ids.with_columns(
            step=pl.lit("photometry"), recipe=pl.lit("a"), state=pl.lit("done")
        ),
        "reference_star": reference.with_columns(named, catalogue_id=pl.lit(1)),
        "reference_magnitude": pl.concat(magnitudes),
        "reference_match": reference.with_columns(
            named,
            source_id=pl.col("reference_star_id"),
            field_id=pl.lit(1),
            separation_arcsec=pl.lit(0.1),
            n_candidate=pl.lit(1),
            is_ambiguous=pl.lit(False),
        ),
        "reference_field": pl.DataFrame({"field_id": [1], "catalogue_id": [1]}).with_columns(
            named,
            sources_hash=pl.lit("h"),
            n_source=pl.lit(N_STAR),
            n_star=pl.lit(N_STAR),
            n_match=pl.lit(N_STAR),
            n_ambiguous=pl.lit(0),
            radius_arcsec=pl.lit(2.0),
        ),
    }
    return tables, star.with_columns(mag=pl.Series(mag))


@pytest.fixture(scope="module")
def solved(empty_warehouse, tmp_path_factory) -> tuple[Warehouse, pl.DataFrame, list[str]]:
    folder = tmp_path_factory.mktemp("zero") / "warehouse"
    import shutil

    shutil.copytree(empty_warehouse, folder)
    warehouse = Warehouse(folder)
    tables, truth = observed()
    told: list[str] = []
    with Run(warehouse, "test", "0") as run:
        mirror_settings(run)
        run.store("rows", tables)
        assert find_zero_points(run, say=told.append) == 2
        assert find_zero_points(run, say=told.append) == 0
    return warehouse, truth, told


def zero_points(warehouse: Warehouse) -> dict[int, dict]:
    rows = warehouse.sql("from zero_point where aperture_id = 1").to_dicts()
    return {row["frame_id"]: row for row in rows}


def test_every_frame_has_a_zero_point_and_the_cloud_shows(solved):
    found = zero_points(solved[0])
    assert len(found) == 2 * N_FRAME
    air = dict(solved[0].sql("select frame_id, airmass from frame_airmass").iter_rows())
    above = {i: row["zero_point_mag"] + EXTINCTION_MAG * air[i] for i, row in found.items()}
    clear = [value for i, value in above.items() if i not in (CLOUDY, EMPTY)]
    assert np.ptp(clear) < 0.01
    lost = np.median(clear) - above[CLOUDY]
    assert lost == pytest.approx(CLOUD_MAG, abs=0.005)
    row = found[1]
    assert row["method"] == "joint"
    assert row["colour"] == "g-i"
    assert row["colour_term"] == pytest.approx(COLOUR_TERM, abs=0.015)  # 60 stars of 0.01 mag
    assert row["position_mag"] == pytest.approx([GRADIENT_MAG, 0], abs=0.012)


def test_the_extinction_of_a_season_comes_out_and_a_clear_frame_has_no_cloud(solved):
    warehouse = solved[0]
    (row,) = warehouse.sql(
        "from photometric_solution where scope = 'season' and aperture_id = 1"
    ).to_dicts()
    assert row["extinction_err_mag"] < 0.01
    assert row["extinction_mag"] == pytest.approx(EXTINCTION_MAG, abs=4 * row["extinction_err_mag"])
    assert row["clear_zero_point_mag"] == pytest.approx(ZERO_POINT_MAG, abs=0.03)
    assert row["n_clear_frame"] == 2 * N_FRAME - 2
    # 60 stars tell by how much colours change with the air
    assert abs(row["colour_extinction"]) < 4 * row["colour_extinction_err"] < 0.04
    depth = warehouse.sql("from frame_depth where aperture_id = 1")
    clear = depth.filter(~pl.col("frame_id").is_in([CLOUDY, EMPTY]))
    assert clear["airmass"].max() - clear["airmass"].min() > 0.3
    assert clear["cloud_mag"].abs().max() < 0.02


def test_a_frame_without_stars_borrows_its_neighbours_and_says_so(solved):
    row = zero_points(solved[0])[EMPTY]
    assert row["method"] == "borrowed"
    assert row["borrowed_frame_id"] in (EMPTY - 1, EMPTY + 1)
    assert row["n_star"] == 0
    assert row["zero_point_err_mag"] > 0.05
    assert any("1 borrowed" in text for text in solved[2])


def test_calibrated_magnitudes_are_the_true_ones(solved):
    warehouse, truth, _ = solved
    rows = warehouse.sql(
        "select source_id, median(mag) as found from calibrated_magnitude "
        f"where is_clean and is_calibrated and source_id > {N_BLENDED} group by source_id"
    ).join(truth, on="source_id")
    off = (rows["found"] - rows["mag"]).to_numpy()
    assert abs(np.median(off)) < 0.005
    assert np.std(off) < 0.02


def test_clouds_and_depth_are_told_frame_by_frame(solved):
    rows = solved[0].sql("from frame_depth where aperture_id = 1 order by frame_id")
    cloud = dict(rows.select("frame_id", "cloud_mag").iter_rows())
    assert cloud[CLOUDY] == pytest.approx(CLOUD_MAG, abs=0.02)
    assert rows["transparency_source"].unique().to_list() == ["season"]
    radius = solved[0].sql("from aperture where aperture_id = 1")
    assert radius["kind"][0] == "arcsec"  # no scale is known: no area, no depth
    assert rows["limiting_mag"].null_count() == rows.height
    pix = solved[0].sql("from frame_depth join aperture using (aperture_id) where kind = 'pix'")
    area = np.pi * pix["radius"].to_numpy() ** 2
    flux = EXPOSURE_S * 10 ** (-0.4 * pix["limiting_mag"].to_numpy())
    of_sky = area * (1 + 1.19 * area / N_SKY_PIX) * SKY_RMS_ADU**2
    assert flux / np.sqrt(flux / GAIN + of_sky) == pytest.approx(5)


def test_what_is_stored_passes_every_check_and_history_is_told(solved):
    warehouse = solved[0]
    season = warehouse.sql("from photometric_solution where scope = 'season'")
    assert season.height == 1
    assert season["last_night"][0] == NIGHTS[-1]
    assert warehouse.sql("from photometric_solution where scope = 'night'").height == 2
    history = warehouse.query("zero_points", aperture="4 arcsec")
    assert history["n_cloudy"].to_list() == [1, 0]
    expected = ZERO_POINT_MAG - EXTINCTION_MAG * history["clear_airmass"].to_numpy()
    assert history["clear_zero_point_mag"].to_numpy() == pytest.approx(expected, abs=0.02)


def test_a_catalogue_is_chosen_by_preference_then_by_number_and_its_band_may_be_named():
    bands = pl.DataFrame(
        [
            ("a", "SDSS", "g", 50),
            ("a", "SDSS", "i", 50),
            ("b", "Pan-STARRS", "g", 80),
            ("b", "Pan-STARRS", "r", 70),
        ],
        schema=["catalogue_name", "photometric_system", "band", "n_star"],
        orient="row",
    )
    most = choose_standard(bands, "g", ZeroPoints())
    assert (most.catalogue_name, most.colour) == ("b", "g-r")
    preferred = choose_standard(bands, "g", ZeroPoints(catalogues=("a",)))
    assert (preferred.catalogue_name, preferred.colour) == ("a", "g-i")
    assert choose_standard(bands, "clear", ZeroPoints()) is None
    named = choose_standard(bands, "clear", ZeroPoints(bands={"clear": "r"}))
    assert (named.band, named.colour) == ("r", "g-r")


def test_a_season_begins_with_a_quarter_or_where_the_settings_say():
    changes = (date(2024, 2, 15), date(2024, 3, 9))
    assert season_begin(date(2024, 3, 8)) == date(2024, 1, 1)
    assert season_begin(date(2024, 3, 8), changes) == date(2024, 2, 15)
    assert season_begin(date(2024, 3, 9), changes) == date(2024, 3, 9)
    assert season_begin(date(2024, 4, 1), changes) == date(2024, 4, 1)


def test_another_set_up_of_the_camera_begins_a_season(small_sky):
    """Two nights, one with another gain, one as before, of which some frames have the other."""
    nights = [date(2024, 3, day) for day in (1, 2, 5, 9)]
    gains = [100.0, 100.0, 0.0, 100.0]
    for i, (night, gain) in enumerate(zip(nights, gains, strict=True)):
        start = datetime.combine(night, datetime.min.time())
        times = [start + timedelta(hours=20, minutes=j) for j in range(4)]
        first = 1 + 10 * i
        small_sky.expose(range(first, first + 4), times, night=night, gain_setting=gain)
    late = datetime.combine(nights[-1], datetime.min.time()) + timedelta(hours=22)
    small_sky.expose([50], [late], night=nights[-1], gain_setting=0.0)

    def of(night: date) -> pl.DataFrame:
        asked = {"camera_id": 1, "band": "r", "first_night": date(2024, 1, 1), "night": night}
        return shipped(small_sky.con, "zero_point_frames", **asked)

    assert of(nights[1])["first_night"].unique().to_list() == [date(2024, 1, 1)]
    assert of(nights[1]).height == 8
    assert of(nights[2])["first_night"].unique().to_list() == [date(2024, 3, 3)]
    assert of(nights[2]).height == 4
    last = of(nights[3])
    assert last["first_night"].unique().to_list() == [date(2024, 3, 6)]
    assert last.height == 5
    # frames of the night with another gain have a level of their own
    assert last.filter(pl.col("frame_id") == 50)["level"][0] not in last["level"][:4].to_list()


def test_where_the_sample_of_a_season_has_no_stars_the_terms_are_those_of_the_night(solved):
    named = {"catalogue_name": "atlas-refcat2", "photometric_system": "Pan-STARRS"}
    asked = {"camera_id": 1, "band": "r", "first_night": date(2024, 1, 1), "night": NIGHTS[1]}
    with solved[0].reading() as con:
        sample = shipped(con, "zero_point_frames", **asked)
        tonight = sample.filter(night=NIGHTS[1])
        frame_ids = tonight["frame_id"].to_list()
        stars = {"frame_ids": frame_ids, "band": "r", "blue": "g", "red": "i", "max_star": 300}
        points = shipped(con, "zero_point_stars", **stars, **named)
    found = _solve_aperture(points, points.clear(), tonight, sample, ZeroPoints())
    assert found["zero_point"].height == N_FRAME
    night, season = found["photometric_solution"].drop("scope").to_dicts()
    assert season == night
