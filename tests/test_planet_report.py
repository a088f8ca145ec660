"""The report of a planet: what it compares, what it says, and when it is written again."""

import json
import math
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from starmuster.analysis.limb_darkening import transit_flux
from starmuster.analysis.orbits import Orbit
from starmuster.analysis.siblings import other_transits
from starmuster.cli import main

T0, PERIOD = 2455000.5, 3.2
NAME = "X-1 <b> & co"


@pytest.fixture
def archive(database, fill):
    """A database with two published ephemerides, an adopted one, and a joint fit."""

    def put(table, *rows):
        database.register("given", fill(table, list(rows)))
        database.execute(f"insert into {table} by name from given")

    planet = {
        "planet_key": "x1b",
        "planet_name": "X-1 b",
        "period_d": PERIOD,
        "mid_bjd_tdb": T0,
        "radius_ratio": 0.11,
        "radius_ratio_err": 0.003,
    }
    put(
        "planet",
        planet
        | {
            "planet_id": 1,
            "source": "one",
            "mid_err_d": 3e-3,
            "period_err_d": 4e-5,
            "imported_utc": datetime(2020, 1, 1),
        },
        planet
        | {
            "planet_id": 2,
            "source": "two",
            "radius_ratio": None,
            "inclination_deg": 88.0,
            "imported_utc": datetime(2021, 1, 1),
        },
        planet
        | {
            "planet_id": 3,
            "source": "refined by starmuster from 9 mid-transit times",
            "imported_utc": datetime(2022, 1, 1),
        },
    )
    times = [T0 + PERIOD * n + 0.004 for n in (90, 100, 110)]
    put(
        "published_transit",
        *(
            {"planet_key": "x1b", "mid_bjd_tdb": t, "mid_err_d": 1e-3, "line_number": i}
            for i, t in enumerate(times)
        ),
    )
    parameters = {
        "radius_ratio r": {"value": 0.114, "err": 0.004, "prior_err": None},
        "inclination_deg": {"value": 87.0, "err": 0.5, "prior_err": None},
        "a_over_r": {"value": 8.0, "err": 0.2, "prior_err": 0.3},
        "offset 0": {"value": 0.0, "err": 0.1, "prior_err": None},
    }
    put(
        "joint_fit",
        {
            "joint_fit_id": 1,
            "planet_id": 2,
            "time_model": "free",
            "parameters": json.dumps(parameters),
            "fitted_utc": datetime(2023, 1, 1),
        },
    )
    return database


def test_results_stand_beside_every_published_source_with_both_errors(archive):
    rows = archive.sql("from planet_result").pl()
    found = {(row["quantity"], row["published_source"]): row for row in rows.iter_rows(named=True)}
    assert set(found) == {
        ("radius_ratio", "one"),
        ("inclination_deg", "two"),
        ("a_over_r", None),  # published by none
        *((name, source) for name in ("mid_bjd_tdb", "period_d") for source in ("one", "two")),
    }
    ratio = found["radius_ratio", "one"]
    assert ratio["band"] == "r"
    assert ratio["difference_sigma"] == pytest.approx(0.004 / 0.005)
    tilt = found["inclination_deg", "two"]  # published without an error
    assert tilt["difference_sigma"] == pytest.approx(-2)
    assert found["a_over_r", None]["prior_err"] == 0.3
    mid = found["mid_bjd_tdb", "one"]
    assert mid["published"] == pytest.approx(T0 + 100 * PERIOD, abs=1e-8)
    assert mid["published_err"] == pytest.approx(math.hypot(3e-3, 100 * 4e-5))
    assert mid["found"] - mid["published"] == pytest.approx(0.004, abs=1e-8)
    away = 0.004 / math.hypot(1e-3 / math.sqrt(3), 5e-3)
    assert mid["difference_sigma"] == pytest.approx(away, rel=1e-4)


@pytest.fixture
def command(warehouse, tmp_path, capsys, monkeypatch):
    """Run a command on a warehouse with two light curves made elsewhere of one planet."""
    warehouse.close()
    monkeypatch.setenv("STARMUSTER_WAREHOUSE", str(warehouse.folder))

    def run(*words, status=0):
        capsys.readouterr()
        assert main([*map(str, words), "--json"]) == status
        return json.loads(capsys.readouterr().out)

    planets = tmp_path / "planets.csv"
    planets.write_text(
        "pl_name,hostname,pl_orbper,pl_orbpererr1,pl_tranmid,pl_tranmiderr1,pl_tsystemref,"
        "pl_ratror,pl_ratrorerr1,pl_ratdor,pl_imppar\n"
        f"{NAME},X-1,{PERIOD},1e-5,{T0},1e-3,BJD-TDB,0.11,0.002,8.0,0.35\n"
    )
    run("import", "ephemerides", planets)
    rng = np.random.default_rng(3)
    hours = np.linspace(-2.6, 2.6, 60)
    flux = transit_flux(hours / 24, Orbit(PERIOD, 0.0, 8.0, 0.3), 0.11, 0.4, 0.3, exposure_s=60.0)
    for epoch in (0, 40):
        lines = [
            f"{T0 + PERIOD * epoch + hour / 24:.6f} {value:.6f} 0.001"
            for hour, value in zip(hours, flux + rng.normal(0, 1e-3, 60), strict=True)
        ]
        path = tmp_path / f"{epoch}.txt"
        path.write_text("\n".join(lines))
        where = ("--target", "X-1", "--time-system", "BJD_TDB", "--band", "r")
        run("import", "light-curve", path, *where)
    return run


def test_a_report_of_a_planet_says_the_same_on_the_page_in_json_and_in_sql(
    command, warehouse, tmp_path
):
    document = command("report", "planet", NAME)
    page, pdf = document["files"]
    html = Path(page).read_text(encoding="utf-8")
    assert "X-1 &lt;b&gt; &amp; co" in html
    assert NAME not in html
    assert "src=" not in html
    assert "://" not in html.replace("http://www.w3.org/", "")  # names of SVG, not addresses
    assert Path(pdf).read_bytes().startswith(b"%PDF-")
    stored = warehouse.sql("from planet_result order by all").to_dicts()
    assert document["results"] == stored
    by_name = {row["quantity"]: row for row in stored}
    assert abs(by_name["radius_ratio"]["found"] - 0.11) < 4 * by_name["radius_ratio"]["found_err"]
    assert abs(by_name["period_d"]["difference_sigma"]) < 4
    assert [row["curve_name"] for row in document["transits"]] == ["0.txt", "40.txt"]
    assert [row["origin"] for row in document["times"]] == ["joint", "joint"]
    assert "0.1100 ± 0.0020" in html
    for file in ("0.txt", "40.txt"):
        assert file in html


def test_it_is_written_again_only_when_what_it_rests_on_has_changed(command, tmp_path, warehouse):
    first = command("report", "planet", NAME, "--no-pdf")
    page = Path(first["files"][0])
    page.write_text("by hand")
    assert command("report", "planet", NAME, "--no-pdf") == first
    assert page.read_text() == "by hand"  # left as it was
    times = tmp_path / "times.csv"
    times.write_text(f"time,error\n{T0 + 80 * PERIOD + 0.002},0.0005\n")
    words = ("--planet", NAME, "--time-system", "BJD_TDB")
    command("import", "transit-times", times, *words)
    again = command("report", "planet", NAME, "--no-pdf")
    assert again["refined"]["n_time"] == 3
    assert "by hand" not in page.read_text(encoding="utf-8")
    assert warehouse.sql("from joint_fit").height == 1  # the light curves are the same


def test_mid_times_alone_make_a_report_and_nothing_at_all_makes_none(command, tmp_path):
    planets = tmp_path / "more.csv"
    planets.write_text(f"pl_name,pl_orbper,pl_tranmid\nY-1 b,2.0,{T0}\n")
    command("import", "ephemerides", planets)
    refused = command("report", "planet", "Y-1 b", status=2)
    assert "no mid-time is known" in refused["message"]
    times = tmp_path / "times.csv"
    times.write_text("time,error\n" + "".join(f"{T0 + 2 * n},0.001\n" for n in (0, 10, 30)))
    command("import", "transit-times", times, "--planet", "Y-1 b", "--time-system", "BJD_TDB")
    document = command("report", "planet", "Y-1 b", "--no-pdf")
    assert document["joint_fit"] is None
    assert {row["quantity"] for row in document["results"]} == {"mid_bjd_tdb", "period_d"}
    assert any("not certain to be BJD_TDB" in text for text in document["warnings"])


def test_another_planet_of_the_star_that_transits_too_is_told(database, fill):
    planet = {"planet_key": "x1b", "planet_name": "X-1 b", "host_name": "X-1"}
    rows = [
        planet | {"planet_id": 1, "period_d": 3.0, "mid_bjd_tdb": T0},
        planet
        | {"planet_id": 2, "planet_key": "x1c", "planet_name": "X-1 c"}
        | {"period_d": 5.0, "mid_bjd_tdb": T0 + 0.1},
        planet
        | {"planet_id": 3, "planet_key": "y1b", "planet_name": "Y-1 b", "host_name": "Y-1"}
        | {"period_d": 3.0, "mid_bjd_tdb": T0},
    ]
    database.register("given", fill("planet", rows))
    database.execute("insert into planet by name from given")
    (told,) = other_transits(database, rows[0], T0 - 0.1, T0 + 0.15)
    assert told.startswith("X-1 c of the same star")
    assert f"{T0 + 0.1:.4f}" in told
    assert not other_transits(database, rows[0], T0 + 2.9, T0 + 3.1)
