"""Rows of workers go into the warehouse together; those of one frame never stop the others."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl

from starmuster.transforms.pool import Outcome
from starmuster.transforms.steps.lights import _seal
from starmuster.transforms.steps.tasks import LightTask
from starmuster.warehouse.config import Config
from starmuster.warehouse.parts import write_part
from starmuster.warehouse.runs import Run

TASK = LightTask(
    frame_id=1, path=Path("/night/1.fits"), hdu_index=0, shape=(9, 9), header="",
    scale_arcsec_per_pix=None, ra_deg=None, dec_deg=None, calibration={}, bias=None, dark=None,
    flat=None, dark_is_bias_subtracted=False, config=Config(), recipe="r", night=date(2024, 3, 8),
)  # fmt: skip


def test_rows_that_no_table_takes_cost_their_own_frame_alone(warehouse, tmp_path, fill):
    outcomes = []
    for frame_id, flux_adu in ((1, 1e4), (2, float("inf"))):
        task = replace(TASK, frame_id=frame_id, path=Path(f"/night/{frame_id}.fits"))
        keys = {"frame_id": frame_id, "source_id": 7}
        tables = {
            "measurement": fill("measurement", [keys]),
            "aperture_flux": fill("aperture_flux", [keys]).with_columns(flux_adu=pl.lit(flux_adu)),
        }
        outcomes.append(Outcome(task, write_part(tmp_path / f"{frame_id}.part", tables), None))
    told: list[str] = []
    with Run(warehouse, "test", "0") as run:
        done = _seal(run, outcomes, say=told.append)
    assert (done["measured"], done["failed"], done["measurements"]) == (1, 1, 1)
    assert warehouse.sql("from aperture_flux")["frame_id"].to_list() == [1]
    failure = warehouse.sql("from failure").row(0, named=True)
    assert (failure["frame_id"], failure["subject"]) == (2, "/night/2.fits")
    assert failure["message"].startswith("/night/2.fits: ")
    assert len(told) == 1
    # its part would else be taken for measured the next time
    assert [path.name for path in tmp_path.glob("*.part")] == ["1.part"]
