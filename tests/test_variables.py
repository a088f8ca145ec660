"""What varies, and with what period, in a field of known stars over several nights."""

import json
import math
from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from starmuster.analysis.candidates import candidates_page, search, star_history
from starmuster.analysis.page import render_page
from starmuster.analysis.periods import find_box, find_wave, phase_of
from starmuster.cli import main
from starmuster.errors import AnalysisError, NotFoundError
from starmuster.transforms.vantage import vantage
from starmuster.warehouse.store import shipped

N_STAR, N_NIGHT, N_FRAME = 40, 8, 24
WAVE, BOX, FLARE = 7, 11, 15
WAVE_D, BOX_D = 0.37, 1.3
ERR = 0.01


def truth_mag(time_d: np.ndarray) -> dict[int, np.ndarray]:
    """How much fainter the three variable stars are than their mean."""
    in_box = np.abs(phase_of(time_d, BOX_D, 0.1)) * BOX_D < 1.5 / 24
    return {
        WAVE: 0.05 * np.sin(2 * np.pi * time_d / WAVE_D),
        BOX: np.where(in_box, 0.06, 0.0),
        FLARE: np.where(np.arange(len(time_d)) % 17 == 0, -0.3, 0.0),
    }


@pytest.fixture(scope="module")
def tables(fill) -> dict[str, pl.DataFrame]:
    """Eight nights of a field through clouds, forty stars of magnitude -8 to -6."""
    rng = np.random.default_rng(4)
    start = datetime(2024, 3, 8, 20)
    times = [
        start + timedelta(days=night, minutes=12 * i) for night in range(N_NIGHT)
        for i in range(N_FRAME)
    ]  # fmt: skip
    n = len(times)
    time_d = np.array([(t - start).total_seconds() / 86400 for t in times])
    mags = np.linspace(-8, -6, N_STAR)[:, None] + rng.normal(0, ERR, (N_STAR, n))
    mags += 0.3 * rng.random(n)  # clouds, the same for all
    for number, change in truth_mag(time_d).items():
        mags[number - 1] += change
    flux = 60 * 10 ** (-0.4 * mags)
    keys = [{"frame_id": i + 1, "source_id": s + 1} for s in range(N_STAR) for i in range(n)]
    gain = 1e4  # then the sky alone makes the error, so that it is ERR for all
    star = {"n_sky_pix": 1_000_000}
    frame = {"frame_type": "light", "band": "r", "exposure_s": 60.0, "camera_id": 1}
    rows = {
        "camera": [{"camera_id": 1, "gain_e_per_adu": gain}],
        "field": [{"field_id": 1, "field_name": "Here", "ra_deg": 30.0, "dec_deg": 40.0}],
        "aperture": [{"aperture_id": 1, "kind": "pix", "radius": 4.0, "aperture_name": "4 pix"}],
        "flag": [{"bit": 0, "value": 1, "flag_name": "saturated", "is_severe": True}],
        "source": [
            {"source_id": s + 1, "field_id": 1, "flux_adu": float(flux[s].mean())}
            for s in range(N_STAR)
        ],
        "frame": [
            frame | {"frame_id": i + 1, "content_hash": str(i), "mid_utc": t,
                     "night": date(2024, 3, 8) + timedelta(days=i // N_FRAME)}
            for i, t in enumerate(times)
        ],
        "field_frame": [{"frame_id": i + 1, "field_id": 1} for i in range(n)],
        "frame_quality": [{"frame_id": i + 1, "fwhm_pix": 3.0} for i in range(n)],
        "measurement": [
            key | star | {"sky_rms_adu": float(ERR * f / 1.0857 / math.sqrt(50))}
            for key, f in zip(keys, flux.ravel(), strict=True)
        ],
        "aperture_flux": [
            key | {"aperture_id": 1, "n_pix": 50.0, "flux_adu": float(f)}
            for key, f in zip(keys, flux.ravel(), strict=True)
        ],
    }  # fmt: skip
    ids = pl.Series(range(1, n + 1), dtype=pl.Int32)
    placed = vantage(times, frame_id=ids, latitude_deg=None, longitude_deg=None)
    return {name: fill(name, given) for name, given in rows.items()} | {
        "vantage": fill("vantage", placed.to_dicts())
    }


@pytest.fixture
def sky(database, tables):
    for name, rows in tables.items():
        database.register("given", rows)
        database.execute(f"insert into {name} by name from given")
    return database


def test_the_variable_stars_lead_the_list_and_steady_ones_scatter_as_their_errors_say(sky):
    stars = shipped(sky, "variability", field="here")
    assert stars.height == N_STAR
    assert set(stars["source_id"].head(2)) == {WAVE, BOX}
    # rare spikes show in chi-square alone: a robust scatter and neighbours in time pass over them
    assert stars.sort("chi2_reduced", descending=True)["source_id"][0] == FLARE
    steady = stars.filter(~pl.col("source_id").is_in([WAVE, BOX, FLARE]))
    assert steady["scatter_mag"].median() == pytest.approx(ERR, rel=0.1)
    assert steady["chi2_reduced"].median() == pytest.approx(1.0, abs=0.12)
    assert steady["von_neumann_eta"].median() == pytest.approx(2.0, abs=0.1)
    assert abs(steady["stetson_j"].median()) < 0.1
    assert steady["excess"].max() < 1.4


def test_stars_that_drift_off_the_field_come_last_and_are_judged_by_their_sound_frames(sky):
    """The steady star 20 fades over its last hours of each night, with the flag of the edge."""
    sky.execute("insert into flag values (1, 2, 'EDGE', 'at the edge', false)")
    at_edge = "source_id = 20 and frame_id % 24 in (0, 20, 21, 22, 23)"
    sky.execute(f"update measurement set flags = 2 where {at_edge}")
    sky.execute(f"update aperture_flux set flux_adu = 0.3 * flux_adu where {at_edge}")
    stars = shipped(sky, "variability", field="here")
    last = stars.row(-1, named=True)
    assert (last["source_id"], last["is_doubtful"]) == (20, True)
    assert last["coverage"] == pytest.approx(19 / 24)
    assert last["scatter_mag"] == pytest.approx(ERR, rel=0.25)
    assert not stars["is_doubtful"][:-1].any()
    assert star_history(sky, 20, band="r", aperture_id=1).points.height == 19 * N_NIGHT


def test_the_indices_are_those_of_their_formulas(sky):
    row = shipped(sky, "variability", field="1").filter(source_id=WAVE).row(0, named=True)
    history = star_history(sky, WAVE, band="r", aperture_id=1)
    mag = history.points["mag"].to_numpy()
    time = history.points["mid_bjd_tdb"].to_numpy()
    delta = mag - mag.mean()
    n = len(mag)
    eta = np.sum(np.diff(mag) ** 2) / (n - 1) / np.var(mag, ddof=1)
    scaled = math.sqrt(n / (n - 1)) * delta / ERR
    product = (scaled[1:] * scaled[:-1])[np.diff(time) < 1 / 48]
    stetson = np.mean(np.sign(product) * np.sqrt(np.abs(product)))
    # what the other stars do in a frame is known to 2 mmag, by other stars in both queries
    assert row["n_frame"] == n == N_NIGHT * N_FRAME
    assert row["von_neumann_eta"] == pytest.approx(eta, rel=0.1)
    assert row["stetson_j"] == pytest.approx(stetson, rel=0.1)
    assert row["chi2_reduced"] == pytest.approx(np.sum((delta / ERR) ** 2) / (n - 1), rel=0.1)
    assert row["iqr_mag"] == pytest.approx(np.subtract(*np.quantile(mag, [0.75, 0.25])), rel=0.1)


def test_a_star_is_held_against_its_neighbours_and_clouds_are_gone(sky):
    history = star_history(sky, 20, band="r", aperture_id=1)
    assert history.points.height == N_NIGHT * N_FRAME
    assert history.points["mag"].std() == pytest.approx(ERR, rel=0.15)
    err = history.points["mag_err"].median()
    assert err == pytest.approx(math.hypot(ERR, 1.2533 * ERR / math.sqrt(39)), rel=0.2)
    with pytest.raises(NotFoundError, match="no clean magnitude"):
        star_history(sky, 20, band="g", aperture_id=1)


def test_periods_of_a_wave_and_of_a_dip_are_found(sky):
    wave = search(star_history(sky, WAVE, band="r", aperture_id=1), min_d=0.05, max_d=4).wave
    assert wave is not None
    assert wave.period_d == pytest.approx(WAVE_D, abs=max(5 * wave.period_err_d, 5e-4))
    assert wave.amplitude_mag == pytest.approx(0.05, abs=0.005)
    assert wave.false_alarm < 1e-6
    box = search(star_history(sky, BOX, band="r", aperture_id=1), min_d=0.05, max_d=4).box
    assert box is not None
    ratio = box.period_d / BOX_D
    assert min(abs(ratio - k) for k in (1, 2, 0.5)) < 0.01
    assert box.depth == pytest.approx(1 - 10 ** (-0.4 * 0.06), abs=0.012)
    assert box.n_dip >= 2


def test_noise_has_no_period_and_few_points_are_refused():
    rng = np.random.default_rng(5)
    time = np.sort(rng.uniform(0, 20, 200))
    noise = rng.normal(0, 0.01, 200)
    err = np.full(200, 0.01)
    assert find_wave(time, noise, err, min_d=0.1, max_d=10).false_alarm > 1e-3
    with pytest.raises(AnalysisError, match="needs 20"):
        find_wave(time[:10], noise[:10], err[:10], min_d=0.1, max_d=10)
    with pytest.raises(AnalysisError, match="expected the first"):
        find_box(time, noise, err, min_d=2, max_d=1)
    with pytest.raises(AnalysisError, match="expected the first"):
        find_box(time * 0, noise, err, min_d=1, max_d=2)  # equal times


def test_the_page_shows_the_candidates_with_their_curves_and_escapes_names(sky):
    stars = shipped(sky, "variability", field="1").with_columns(known_as=pl.lit("<V1> Leo"))
    found = [
        search(star_history(sky, number, band="r", aperture_id=1), min_d=0.05, max_d=4)
        for number in (WAVE, BOX)
    ]
    page = candidates_page(
        "<field>",
        stars,
        found,
        aperture_name="4 pix",
        command="x",
        version="1",
        generated_utc="now",
    )
    html = render_page(page)
    assert html.count("<svg") == 3
    assert "&lt;field&gt;" in html
    assert "&lt;V1&gt; Leo" in html
    assert "<script" not in html
    assert f"Star {BOX}." in html


def test_the_commands_find_them_in_a_warehouse(warehouse, tables, tmp_path, capsys, monkeypatch):
    with warehouse.writing() as con:
        for name, rows in tables.items():
            con.register("given", rows)
            con.execute(f"insert into {name} by name from given")
    warehouse.close()
    monkeypatch.setenv("STARMUSTER_WAREHOUSE", str(warehouse.folder))

    def command(*words, status=0):
        capsys.readouterr()
        assert main([*map(str, words), "--json"]) == status
        return json.loads(capsys.readouterr().out)

    listed = command("variables", "Here")
    assert {row["source_id"] for row in listed[:2]} == {WAVE, BOX}
    plot = tmp_path / "fold.png"
    found = command("periods", str(WAVE), "--plot", plot)
    assert found["wave"]["period_d"] == pytest.approx(WAVE_D, abs=1e-3)
    assert (found["n_night"], found["n_point"]) == (N_NIGHT, N_NIGHT * N_FRAME)
    assert plot.read_bytes().startswith(b"\x89PNG")
    page = command("report", "candidates", "Here", "--count", "2")
    assert page["n_star"] == N_STAR
    assert (
        "aperture '9 pix'" in command("variables", "1", "--aperture", "9 pix", status=2)["message"]
    )
