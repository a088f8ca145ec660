"""Every check finds the fault it is made for, and none in sound rows."""

import shutil
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from starmuster import sql
from starmuster.warehouse import migrate, packages
from starmuster.warehouse.check import run_checks
from starmuster.warehouse.store import DATABASE_NAME, frame

Fill = Callable[[str, list[dict[str, Any]]], pl.DataFrame]
NIGHT = date(2024, 3, 8)
FRAMES = {"frame_id": 1, "content_hash": "a"}, {"frame_id": 2, "content_hash": "b"}
MEASURED = {"frame_id": 1, "source_id": 5}
FLUX = MEASURED | {"aperture_id": 3}
COMPARISON = {"target_source_id": 5, "source_id": 6, "night": NIGHT, "band": "r", "aperture_id": 3}
# A small sound warehouse: a bias and a light that was measured.
SOUND: dict[str, list[dict[str, Any]]] = {
    "run": [{"run_id": 1}],
    "package": [{"package_id": "a", "sequence": 1, "run_id": 1}],
    "setting": [{"setting_name": "a"}, {"setting_name": "b"}],
    "flag": [{"bit": 0, "value": 1}, {"bit": 1, "value": 2}],
    "site": [{"site_id": 1}],
    "camera": [{"camera_id": 1}],
    "frame": [row | {"camera_id": 1, "site_id": 1} for row in FRAMES],
    "path": [{"path": "/a", "frame_id": 1}, {"path": "/copy of a", "frame_id": 1}],
    "quarantine": [{"path": "/b"}],
    "vantage": [{"frame_id": 1}],
    "aperture": [{"aperture_id": 3}],
    "field": [{"field_id": 9, "reference_frame_id": 1}, {"field_id": 10}],
    "field_frame": [{"frame_id": 1, "field_id": 9}],
    "source": [{"source_id": i, "field_id": 9, "first_frame_id": 1} for i in (5, 6, 7)],
    "field_source": [{"field_id": 10, "source_id": 5}, {"field_id": 9, "source_id": 5}],
    "search": [{"search_id": 1, "field_id": 9}],
    "detection": [{"search_id": 1, "field_id": 9, "source_id": 5, "x_pix": x} for x in (1.0, 2.0)],
    "source_change": [{"change_id": 1}],
    "registration": [{"frame_id": 1, "field_id": 9}],
    "wcs": [{"frame_id": 1}],
    "wcs_residual": [{"frame_id": 1, "x_pix": 7}, {"frame_id": 1, "x_pix": 8}],
    "frame_quality": [{"frame_id": 1}],
    "master": [{"master_id": 4, "kind": "bias"}, {"master_id": 5, "kind": "flat"}],
    "master_frame": [
        {"master_id": 4, "frame_id": 2, "is_used": True},
        {"master_id": 4, "frame_id": 1, "is_used": False},
    ],
    "calibration": [{"frame_id": 1, "bias_master_id": 4}],
    "master_file": [{"master_id": 4}],
    "defect_map": [{"master_id": 4}],
    "defect_use": [{"frame_id": 1, "master_id": 4}],
    "retired_master": [{"master_id": 4}],
    "imported_master": [{"master_id": 5}],
    "frame_level": [{"frame_id": 1}, {"frame_id": 2}],
    "gain_fit": [{"camera_id": 1, "band": "r"}, {"camera_id": 1, "band": None}],
    "transfer_point": [{"camera_id": 1, "level_adu": level} for level in (1.0, 2.0)],
    "linearity_point": [{"camera_id": 1, "level_adu": level} for level in (1.0, 2.0)],
    "ramp_fit": [{"camera_id": 1, "band": "r"}, {"camera_id": 1, "band": None}],
    "measurement": [MEASURED, MEASURED | {"source_id": 6}],
    "aperture_flux": [FLUX, FLUX | {"source_id": 6}],
    "curve_of_growth": [
        {"frame_id": 1, "aperture_id": number, "radius_pix": 4.0} for number in (3, None)
    ],
    "point_spread": [{"frame_id": 1}, {"frame_id": 2}],
    "profile_fit": [MEASURED, MEASURED | {"source_id": 6}],
    "product": [{"frame_id": 1, "step": step, "state": "done"} for step in ("photometry", "x")],
    "identity": [{"target_key": "x", "source_id": 5, "field_id": 9}],
    "comparison_choice": [
        {"target_source_id": 5, "source_id": source_id, "choice": choice}
        for source_id, choice in ((6, "pin"), (7, "ban"))
    ],
    "ensemble_frame": [{"frame_id": 1, "aperture_id": i} for i in (1, 2)],
    "ensemble_source": [{"source_id": 5, "band": band} for band in ("g", None)],
    "minimum_fit": [{"source_id": 5, "band": band} for band in ("g", None)],
    "comparison_star": [
        COMPARISON | {"is_used": True, "weight": 1.0},
        COMPARISON | {"source_id": 7},
    ],
    "planet": [{"planet_id": 1}],
    "transit_fit": [{"transit_fit_id": 1}],
    "failure": [{}],
    "reference_catalogue": [{"catalogue_id": 1, "catalogue_name": "a"}],
    "reference_star": [{"reference_star_id": 1, "catalogue_id": 1, "catalogue_name": "a"}],
    "reference_magnitude": [{"reference_star_id": 1, "band": band} for band in "gr"],
    "variable_star": [{"reference_star_id": 1}],
    "isochrone_grid": [{"grid_id": 1}],
    "isochrone_band": [{"grid_id": 1, "place": place} for place in (1, 2)],
    "isochrone": [{"grid_id": 1, "eep": eep, "absolute_mag": [4.0, 3.5]} for eep in (251, 252)],
    "isochrone_fit": [{"isochrone_fit_id": 1}],
    "reference_field": [{"field_id": 9, "catalogue_name": "a"}],
    "reference_match": [
        {"field_id": 9, "source_id": 5, "catalogue_name": "a", "reference_star_id": 1}
    ],
    "zero_point": [{"frame_id": 1, "aperture_id": 3, "method": "fit"}],
    "photometric_solution": [
        {"camera_id": 1, "band": "r", "aperture_id": 3, "scope": scope}
        for scope in ("night", "season")
    ],
    "frame_transparency": [{"frame_id": 1, "aperture_id": 3}],
    "aperture_choice": [{"field_id": 9, "aperture_id": 3}],
    "foreign_curve": [{"foreign_curve_id": 1}],
    "foreign_point": [{"foreign_curve_id": 1, "point_number": number} for number in (1, 2)],
    "published_transit": [{"planet_key": "x", "line_number": number} for number in (2, 3)],
    "joint_fit": [{"joint_fit_id": 1}],
    "joint_transit": [{"joint_fit_id": 1, "band": band} for band in ("g", None)],
    "stack": [
        {"stack_id": 1, "field_id": 9, "band": "r", "night": None, "sky": "mesh", "n_frame": 1},
        {"stack_id": 2, "field_id": 9, "band": "r", "night": NIGHT, "sky": "mesh", "n_frame": 0},
    ],
    "stack_measurement": [{"stack_id": 1, "source_id": 5}],
    "stack_flux": [{"stack_id": 1, "source_id": 5, "aperture_id": 1}],
    "stack_frame": [
        {"stack_id": 1, "frame_id": 1, "is_used": True},
        {"stack_id": 1, "frame_id": 2, "is_used": False},
    ],
}
# Check -> statements, each of which alone must be found.
FAULTS: dict[str, list[str]] = {
    "aperture_flux_has_aperture": ["delete from aperture"],
    "aperture_flux_has_measurement": ["delete from measurement where source_id = 6"],
    "calibration_has_master": [
        "update calibration set bias_master_id = 77",
        "update calibration set dark_master_id = 4",
        "update calibration set flat_master_id = 77",
    ],
    "comparison_choice_is_known": [
        "update comparison_choice set source_id = 77 where choice = 'pin'",
        "update comparison_choice set source_id = 5 where choice = 'pin'",
        "update comparison_choice set choice = 'perhaps'",
        "update source set field_id = 10 where source_id = 6",
    ],
    "comparison_star_is_sound": [
        "update comparison_star set source_id = 77 where is_used",
        "update comparison_star set source_id = 5 where is_used",
        "update comparison_star set weight = null",
        "update comparison_star set weight = 0.9",
    ],
    "field_frame_is_known": [
        "update field_frame set frame_id = 77",
        "update field_frame set field_id = 77",
        "update field set reference_frame_id = 77",
    ],
    "detection_is_known": [
        "delete from search",
        "update detection set source_id = 77",
        "update field_source set field_id = 11 where field_id = 9",
    ],
    "field_source_is_known": [
        "delete from source where source_id = 5",
        "update field_source set field_id = 11 where field_id = 10",
    ],
    "frame_content_hash_is_unique": ["update frame set content_hash = 'same'"],
    "frame_has_camera_and_site": [
        "update frame set camera_id = 77 where frame_id = 1",
        "delete from site",
    ],
    "foreign_curve_has_points": ["delete from foreign_curve", "delete from foreign_point"],
    "joint_transit_is_of_a_fit": ["delete from joint_fit", "delete from joint_transit"],
    "identity_has_source": [
        "update identity set source_id = 77",
        "update identity set field_id = 11",
    ],
    "isochrone_has_grid": [
        "delete from isochrone_grid",
        "update isochrone set grid_id = 77",
        "update isochrone_band set grid_id = 77",
        "update isochrone set absolute_mag = [4.0]",
    ],
    "master_frame_is_known": [
        "update master_frame set frame_id = 77",
        "update master_frame set is_used = false",
        "delete from master_frame",
    ],
    "measured_frame_is_done": ["delete from frame_quality", "delete from registration"],
    "measured_frame_is_registered": ["delete from frame_quality", "delete from registration"],
    "measurement_has_frame": [
        "delete from frame where frame_id = 1",
        "delete from source where source_id = 6",
    ],
    "measurement_is_of_its_field": ["update source set field_id = 10 where source_id = 6"],
    "package_has_run": ["delete from run"],
    "path_has_frame": ["delete from frame where frame_id = 1"],
    "reference_match_is_known": [
        "update reference_match set source_id = 77",
        "update reference_match set field_id = 11",
        "update reference_match set reference_star_id = 77",
        "delete from reference_field",
    ],
    "reference_star_has_catalogue": [
        "delete from reference_catalogue",
        "update reference_star set catalogue_name = 'b'",
        "update reference_magnitude set reference_star_id = 77",
        "update variable_star set reference_star_id = 77",
    ],
    "registration_is_of_its_field": [
        "update registration set field_id = 10",
        "delete from field_frame",
    ],
    "stack_frame_is_known": [
        "update stack_frame set frame_id = 77 where frame_id = 2",
        "delete from stack where stack_id = 1",
        "update stack set n_frame = 2 where stack_id = 1",
    ],
    "stack_flux_has_measurement": [
        "delete from stack_measurement",
        "update stack_flux set source_id = 6",
    ],
    "wcs_residual_has_solution": ["update wcs_residual set frame_id = 77"],
    "source_has_field": [
        "delete from field where field_id = 9",
        "update source set first_frame_id = 7",
    ],
    "zero_point_is_sound": [
        "delete from frame_quality",
        "update zero_point set method = 'borrowed'",
        "update zero_point set borrowed_frame_id = 1",
        "update zero_point set method = 'borrowed', borrowed_frame_id = 2",
        "update zero_point set colour_term = 0.1",
    ],
} | {
    f"{table}_is_unique": [f"insert into {table} (from {table} limit 1)"]
    for table in packages.table_schemas()
    if table not in {"failure", "version"}
}


@pytest.fixture(scope="module")
def sound(
    empty_warehouse: Path, fill: Fill, tmp_path_factory
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to a database with sound rows in every table, for `con` only."""
    path = shutil.copy(empty_warehouse / DATABASE_NAME, tmp_path_factory.mktemp("sound"))
    with migrate.connect(Path(path)) as con:
        for table, rows in SOUND.items():
            loaded = table in packages.REPLACE_KEY
            given = fill(table, rows) if loaded else ledger(table, rows[0])
            con.register("given", given)
            con.execute(f"insert into {table} by name from given")
        yield con


@pytest.fixture
def con(sound: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database with sound rows in every table; what a test writes is taken back after it."""
    sound.execute("begin")
    try:
        yield sound
    finally:
        sound.execute("rollback")


def ledger(table: str, row: dict[str, Any]) -> pl.DataFrame:
    """Make a row of a table that no package may hold."""
    neutral = {
        name: {pl.String: "x", pl.Datetime: NIGHT}.get(dtype.base_type(), 0)
        for name, dtype in packages.table_schemas()[table].items()
    }
    return pl.DataFrame([neutral | row])


def test_sound_rows_in_every_table_pass_every_check(con):
    counts = migrate.row_counts(con)
    assert [name for name, n_row in counts.items() if n_row == 0] == []
    assert {name: rows.rows() for name, rows in run_checks(con).items() if rows.height} == {}


def test_an_empty_warehouse_passes_every_check(database):
    found = run_checks(database)
    assert set(found) == set(sql.scripts("checks"))
    assert all(rows.is_empty() for rows in found.values())


def test_every_check_has_its_fault():
    assert set(FAULTS) == set(sql.scripts("checks"))


@pytest.mark.parametrize(
    ("name", "fault"), [(name, fault) for name, faults in FAULTS.items() for fault in faults]
)
def test_a_fault_is_found_by_its_check(con, name, fault):
    con.execute(fault)
    assert frame(con, sql.scripts("checks")[name].text).height > 0
