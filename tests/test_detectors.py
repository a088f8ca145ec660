"""What a ramp found is in force: full wells masked, a bend corrected, a drifting bias harmless."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from astropy.io import fits

from starmuster.ingest.nights import catalogue
from starmuster.transforms.mask import PixelMask
from starmuster.transforms.steps.gain import measure_gains
from starmuster.transforms.steps.levels import measure_levels
from starmuster.transforms.steps.light_pixels import reduce_light
from starmuster.transforms.steps.lights import light_tasks
from starmuster.transforms.steps.masters import make_masters
from starmuster.transforms.steps.ramps import measure_ramps, pending_ramps
from starmuster.transforms.steps.settings import mirror_settings
from starmuster.warehouse.check import run_checks
from starmuster.warehouse.config import FILE_NAME
from starmuster.warehouse.runs import Run
from starmuster.warehouse.store import Warehouse

LIGHT, OVERSCAN_PIX = (128, 160), 16
GAIN, READ_NOISE_ADU, WELL_ADU, BEND = 2.0, 3.0, 30_000.0, -0.02
EXPOSURES_S = [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 100.0, 160.0, 220.0, 270.0, 300.0, 330.0, 400.0]
RATE_ADU = 100.0
SECTIONS = {"BIASSEC": "[161:176,1:128]", "TRIMSEC": "[1:160,1:128]"}


def counted(light_adu):
    """What the camera counts for light: a bend, then full wells."""
    return np.minimum(light_adu * (1 + BEND * light_adu / WELL_ADU), WELL_ADU)


class Observatory:
    """Writes frames of a camera whose bias drifts from frame to frame."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.n_frame, self.rng = folder, 0, np.random.default_rng(5)

    def expose(self, name: str, light_adu, kind: str, exposure_s: float, **cards) -> None:
        photons = self.rng.poisson(np.broadcast_to(light_adu, LIGHT) * GAIN) / GAIN
        data = np.pad(counted(photons), ((0, 0), (0, OVERSCAN_PIX)))
        data += 1000 + 4 * self.n_frame + self.rng.normal(0, READ_NOISE_ADU, data.shape)
        hour, minute = divmod(self.n_frame, 60)
        header = fits.Header(
            {
                "INSTRUME": "test camera",
                "IMAGETYP": kind,
                "EXPTIME": exposure_s,
                "DATE-OBS": f"2024-03-08T{20 + hour}:{minute:02d}:00",
                **SECTIONS,
                **cards,
            }
        )
        self.n_frame += 1
        pixels = np.clip(np.round(data), 0, 65_535).astype(np.uint16)
        fits.PrimaryHDU(pixels, header).writeto(self.folder / f"{name}.fits")


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory, new_warehouse):
    folder = tmp_path_factory.mktemp("frames")
    camera = Observatory(folder)
    for i in range(4):
        camera.expose(f"bias{i}", 0.0, "bias", 0.0)
    y, x = np.indices(LIGHT) / max(LIGHT) - 0.5
    lamp = RATE_ADU * (1 - 0.02 * (x**2 + y**2))
    for i, exposure_s in enumerate(EXPOSURES_S + EXPOSURES_S[::-1]):
        camera.expose(f"flat{i}", lamp * exposure_s, "flat", exposure_s, FILTER="r")
    steps = np.linspace(500, 26_000, LIGHT[1])[None, :]
    light = np.where(np.indices(LIGHT)[0] < 4, 50_000, steps)
    camera.expose("light", light, "light", 60.0, FILTER="r", OBJECT="M37")
    warehouse = new_warehouse(tmp_path_factory.mktemp("detectors") / "warehouse")
    with Run(warehouse, "test", "0") as run:
        mirror_settings(run)
        catalogue(run, [folder])
        mirror_settings(run)
        measure_levels(run)
        measure_ramps(run, say=lambda _: None)
        measure_gains(run, say=lambda _: None)
        make_masters(run, say=lambda _: None)
    with warehouse:
        yield warehouse


@pytest.fixture(scope="module")
def ramp(warehouse) -> dict:
    return warehouse.sql("from ramp_fit").row(0, named=True)


def light_task(warehouse):
    frame_id = warehouse.sql("select frame_id from frame where frame_type = 'light'").item()
    pending = pl.DataFrame({"frame_id": [frame_id], "field_id": [0], "recipe": [""]})
    (task,) = light_tasks(warehouse, pending.cast({"frame_id": pl.Int32}))
    return task


def test_a_bias_that_drifts_does_no_harm_where_there_is_an_overscan(warehouse):
    (fit,) = warehouse.sql("from gain_fit").to_dicts()
    # a bend of 2 % takes up to 6 % off the photon noise, (1 + 2 b x)^2 / (1 + b x), if it is left
    # in; the table takes it out but for the slope between its points
    assert abs(fit["gain_e_per_adu"] - GAIN) < 4 * fit["gain_err_e_per_adu"] + 0.003 * GAIN
    read_noise_adu = fit["read_noise_e"] / fit["gain_e_per_adu"]
    assert read_noise_adu == pytest.approx(READ_NOISE_ADU, rel=0.02)  # 60,000 differences: 0.3 %


def test_a_ramp_finds_the_full_wells_and_the_bend(warehouse, ramp):
    assert ramp["saturation_adu"] == pytest.approx(WELL_ADU + 1000, rel=0.05)
    assert ramp["is_linearity_correctable"], ramp["linearity_verdict"]
    points = warehouse.sql("from linearity_point order by level_adu")
    level, factor = points["level_adu"].to_numpy(), points["factor"].to_numpy()
    light = np.linspace(1, WELL_ADU, 100_000)
    truth = np.interp(level, light * (1 + BEND * light / WELL_ADU), light) / level
    assert np.abs(factor - truth).max() < 0.002  # 0.05 % photon noise of the faintest flats
    assert ramp["linearity"] == pytest.approx(np.abs(1 / truth - 1).max(), abs=0.003)
    assert ramp["nonlinear_adu"] == pytest.approx(1000 + 0.01 * WELL_ADU / -BEND, rel=0.1)


def test_the_ramp_is_in_force_for_a_light_and_says_so(warehouse, ramp):
    (row,) = warehouse.sql("from frame_detector semi join (from frame where frame_type = 'light') "
                           "using (frame_id)").to_dicts()  # fmt: skip
    assert row["saturation_adu"] == ramp["saturation_adu"]
    assert (row["saturation_source"], row["linearity_source"]) == ("ramp", "ramp")
    task = light_task(warehouse)
    assert task.calibration["linearity_source"] == "ramp"
    reduced = reduce_light(task)
    assert reduced.saturation_source == "ramp"
    is_full = np.zeros(reduced.mask.shape, bool)
    is_full[:4, : LIGHT[1]] = True
    assert ((reduced.mask & PixelMask.SATURATED) != 0).sum() == is_full.sum()
    columns = np.nanmedian(reduced.data_adu[4:, : LIGHT[1]], axis=0)
    truth = np.linspace(500, 26_000, LIGHT[1])
    # the median of 124 pixels, the factor's 0.1 %, and the flat's own noise
    noise = np.sqrt(truth / GAIN * np.pi / 2 / 124) + 0.002 * truth
    assert (np.abs(columns - truth) < 4 * noise).all()


def test_the_configuration_comes_before_the_ramp(warehouse):
    settings = '[camera."test camera"]\nsaturation_adu = 20000\nlinearity = [[30000, 1.0]]\n'
    before = warehouse.sql("from frame_detector order by frame_id")
    path = warehouse.folder / FILE_NAME
    text = path.read_text(encoding="utf-8")
    path.write_text(settings, encoding="utf-8")
    try:
        with Warehouse(warehouse.folder) as told, Run(told, "test", "0") as run:
            mirror_settings(run)
            detector = light_task(told).detector
            assert (detector.saturation_adu, detector.saturation_source) == (
                20_000,
                "configuration",
            )
            assert (detector.linearity, detector.linearity_source) == (
                ((30_000.0, 1.0),),
                "configuration",
            )
    finally:
        path.write_text(text, encoding="utf-8")
    with Warehouse(warehouse.folder) as told, Run(told, "test", "0") as run:
        mirror_settings(run)
        assert told.sql("from frame_detector order by frame_id").equals(before)


def test_a_ramp_is_measured_once_and_its_rows_are_sound(warehouse):
    assert pending_ramps(warehouse) == []
    with warehouse.reading() as con:
        assert {n: rows.rows() for n, rows in run_checks(con).items() if rows.height} == {}


def test_flats_with_full_wells_below_the_converters_limit_are_left_out_of_the_master(warehouse):
    left = warehouse.sql("from master_frame join master using (master_id) where not is_used")
    assert left["reason"].str.starts_with("saturated").sum() >= 4
