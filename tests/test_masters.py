"""Masters: robust, honest about their noise, and clear about what was left out."""

from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from starmuster.errors import CalibrationError, PixelError
from starmuster.transforms.calibrate import PixelLimits, calibrate
from starmuster.transforms.masters import BuiltMaster, build_master, group_masters
from starmuster.transforms.pixels import open_rows, read_pixels

SHAPE = (160, 200)
BIAS_ADU, READ_NOISE_ADU, GAIN = 1000.0, 3.0, 1.5


@dataclass
class ArrayRows:
    """A frame in memory; `n_read` rows calls can be made before it is lost."""

    data: np.ndarray
    name: str = "frame"
    n_read: int | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return self.data.shape

    def rows(self, start: int, stop: int) -> np.ndarray:
        if self.n_read is not None:
            self.n_read -= 1
            if self.n_read < 0:
                raise PixelError(f"{self.name}: gone. Put it back.")
        return self.data[start:stop].astype(np.float32)


class Camera:
    """A camera with known pattern, dark current, vignetting, gain and read noise."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        y, x = np.indices(SHAPE)
        self.bias = BIAS_ADU + 5 * np.sin(x / 9)
        self.dark_adu_per_s = self.rng.gamma(2.0, 0.2, SHAPE)
        vignetting = 1 - 0.3 * ((y / SHAPE[0] - 0.5) ** 2 + (x / SHAPE[1] - 0.5) ** 2)
        self.response = vignetting * self.rng.normal(1, 0.01, SHAPE)

    def expose(self, light_adu: np.ndarray | float = 0.0, exposure_s: float = 0.0) -> np.ndarray:
        signal_adu = light_adu * self.response + self.dark_adu_per_s * exposure_s
        photons = self.rng.poisson(signal_adu * GAIN) / GAIN
        noise = self.rng.normal(0, READ_NOISE_ADU, SHAPE)
        return np.clip(np.round(self.bias + photons + noise), 0, 65_535).astype(np.uint16)

    def biases(self, n: int) -> list[ArrayRows]:
        return [ArrayRows(self.expose(), f"bias_{i}") for i in range(n)]

    def darks(self, n: int, exposure_s: float) -> list[ArrayRows]:
        return [ArrayRows(self.expose(0, exposure_s), f"dark_{i}") for i in range(n)]

    def flats(self, levels_adu: list[float]) -> list[ArrayRows]:
        return [ArrayRows(self.expose(s, 5.0), f"flat_{i}") for i, s in enumerate(levels_adu)]


@pytest.fixture
def camera() -> Camera:
    return Camera(seed=11)


def reasons(master: BuiltMaster) -> list[str | None]:
    return [reason for _, reason in master.used]


def test_one_cosmic_ray_in_eight_biases_is_rejected_and_good_pixels_are_not(camera):
    readers = camera.biases(8)
    hits = [(20, 30), (77, 101), (150, 3)]
    for frame, (y, x) in zip((0, 3, 7), hits, strict=True):
        readers[frame].data[y, x] += 60  # 20 sigma
    master = build_master("bias", readers, [0.0] * 8)
    n_clipped = 8 - master.n_used.astype(int)
    for y, x in hits:
        assert n_clipped[y, x] == 1
        assert master.data_adu[y, x] == pytest.approx(camera.bias[y, x], abs=5 * 3 / 7**0.5)
    assert (n_clipped.sum() - 3) / (8 * n_clipped.size) < 0.001


def test_integers_of_a_quiet_camera_are_not_clipped():
    # noise of half an ADU: the MAD of most pixels is zero
    rng = np.random.default_rng(1)
    readers = [ArrayRows(np.round(rng.normal(100, 0.5, SHAPE)).astype(np.uint16)) for _ in range(8)]
    master = build_master("bias", readers, [0.0] * 8)
    assert 1 - master.n_used.mean() / 8 < 0.001
    assert master.data_adu.mean() == pytest.approx(100, abs=0.01)


@pytest.mark.parametrize("n_frame", [1, 2, 3, 4, 5, 12])
def test_the_noise_of_a_master_is_what_differs_from_the_truth(camera, n_frame):
    master = build_master("bias", camera.biases(n_frame), [0.0] * n_frame)
    truth = np.std(master.data_adu - camera.bias)
    # one frame alone cannot tell noise from pattern, and says too much
    assert master.noise_adu == pytest.approx(truth, rel=0.3 if n_frame == 1 else 0.03)
    assert master.n_frame == n_frame
    assert master.method == {1: "single frame", 5: "clipped mean", 12: "clipped mean"}.get(
        n_frame, "median"
    )


def test_a_dark_has_its_bias_taken_off_if_there_is_one(camera):
    bias = build_master("bias", camera.biases(9), [0.0] * 9)
    readers = camera.darks(9, 100.0)
    without = build_master("dark", readers, [100.0] * 9, bias=bias.data_adu, gain_e_per_adu=GAIN)
    inside = build_master("dark", readers, [100.0] * 9, gain_e_per_adu=GAIN)
    assert without.is_bias_subtracted
    assert not inside.is_bias_subtracted
    truth = 100 * camera.dark_adu_per_s
    assert np.mean(without.data_adu - truth) == pytest.approx(0, abs=0.1)
    assert np.mean(inside.data_adu - camera.bias - truth) == pytest.approx(0, abs=0.1)
    assert without.level_adu == pytest.approx(np.median(truth), rel=0.01)


def test_a_flat_is_the_response_of_the_camera(camera):
    bias = build_master("bias", camera.biases(9), [0.0] * 9)
    dark = build_master("dark", camera.darks(9, 100.0), [100.0] * 9, bias=bias.data_adu)
    flat = build_master(
        "flat",
        camera.flats([20_000.0, 24_000.0, 18_000.0, 21_000.0, 26_000.0]),
        [5.0] * 5,
        bias=bias.data_adu,
        dark=dark.data_adu,
        dark_exposure_s=100.0,
        dark_is_bias_subtracted=True,
    )
    assert np.median(flat.data_adu) == pytest.approx(1, abs=1e-6)
    truth = camera.response / np.median(camera.response)
    residual = flat.data_adu / truth - 1
    assert np.std(residual) == pytest.approx(flat.noise_adu / flat.level_adu, rel=0.05)
    assert flat.level_adu == pytest.approx(21_000 * np.median(camera.response), rel=0.01)
    assert reasons(flat) == [None] * 5


def test_flats_that_spoil_a_master_are_left_out_and_named(camera):
    readers = camera.flats([20_000.0, 80_000.0, 20_500.0, 90.0, 19_000.0, 21_000.0])
    gradient = np.linspace(0.9, 1.1, SHAPE[1])
    readers[5].data = camera.expose(20_000 * gradient, 5.0)
    flat = build_master("flat", readers, [5.0] * 6, bias=camera.bias.astype(np.float32))
    assert [use for use, _ in flat.used] == [True, False, True, False, True, False]
    assert "saturated: " in (reasons(flat)[1] or "")
    assert "65535 ADU" in (reasons(flat)[1] or "")
    assert "too faint: " in (reasons(flat)[3] or "")
    assert "lit differently: " in (reasons(flat)[5] or "")
    assert flat.n_frame == 3


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_flats_without_light_make_no_master(value):
    readers = [ArrayRows(np.full(SHAPE, value, np.float32), f"flat_{i}") for i in range(3)]
    with pytest.raises(CalibrationError, match=r"none of 3 flat frames can be used: flat_0: "):
        build_master("flat", readers, [1.0] * 3)


@pytest.mark.parametrize(("method", "expected"), [("mean", np.mean), ("median", np.median)])
def test_frames_are_combined_as_the_configuration_says(method, expected):
    frames = np.random.default_rng(3).normal(100, 5, (7, *SHAPE)).astype(np.float32)
    readers = [ArrayRows(frame, f"bias_{i}") for i, frame in enumerate(frames)]
    built = build_master("bias", readers, [0.0] * 7, method=method)
    assert built.method == method
    assert built.data_adu == pytest.approx(expected(frames, axis=0), rel=1e-5)


def test_fewer_frames_than_the_configuration_asks_for_make_no_master():
    readers = [ArrayRows(np.full(SHAPE, 100, np.float32), f"bias_{i}") for i in range(2)]
    with pytest.raises(CalibrationError, match=r"too few: 2 of 2 bias frames .* asks for 3\. Take"):
        build_master("bias", readers, [0.0] * 2, min_frame=3)


def test_dead_pixels_of_a_flat_are_nan_and_get_masked(camera):
    readers = camera.flats([20_000.0, 21_000.0, 22_000.0])
    for reader in readers:
        reader.data[7, 9] = 900  # below the bias
    flat = build_master("flat", readers, [5.0] * 3, bias=camera.bias.astype(np.float32))
    assert np.isnan(flat.data_adu[7, 9])
    assert np.isfinite(flat.data_adu).sum() == flat.data_adu.size - 1
    light = calibrate(readers[0].data, bias=camera.bias.astype(np.float32), flat=flat.data_adu)
    assert np.argwhere(light.mask).tolist() == [[7, 9]]


def test_a_frame_that_cannot_be_read_is_left_out(camera):
    readers = camera.biases(6)
    readers[2].n_read = 0
    master = build_master("bias", readers, [0.0] * 6)
    assert reasons(master) == [None, None, "bias_2: gone. Put it back.", None, None, None]
    assert master.n_frame == 5


def test_a_frame_that_vanishes_while_it_is_combined_is_left_out(camera):
    whole = camera.biases(6)
    expected = build_master("bias", whole[:4] + whole[5:], [0.0] * 5, memory_byte=100_000)
    whole[4].n_read = 18  # the sample takes 16
    master = build_master("bias", whole, [0.0] * 6, memory_byte=100_000)
    assert [use for use, _ in master.used] == [True] * 4 + [False, True]
    assert "gone" in (reasons(master)[4] or "")
    assert np.mean(master.data_adu != expected.data_adu) < 1e-3  # the floor was measured on six
    assert np.abs(master.data_adu - expected.data_adu).max() < 5 * READ_NOISE_ADU


def test_no_master_comes_from_frames_that_are_all_gone(camera):
    readers = camera.biases(2)
    for reader in readers:
        reader.n_read = 17
    with pytest.raises(CalibrationError, match=r"all bias frames were lost .*bias_1: gone"):
        build_master("bias", readers, [0.0] * 2, memory_byte=100_000)


def test_masters_and_frames_of_other_sizes_are_refused_naming_both(camera):
    with pytest.raises(CalibrationError, match="200 x 160 pixels, but the master bias has 20 x 10"):
        build_master("dark", camera.darks(2, 9.0), [9.0] * 2, bias=np.ones((10, 20), np.float32))
    odd = [*camera.biases(1), ArrayRows(np.ones((10, 20)), "odd")]
    with pytest.raises(CalibrationError, match=r"odd: 20 x 10 pixels cannot .* 200 x 160"):
        build_master("bias", odd, [0.0] * 2)


def frame_rows(*rows: dict[str, object]) -> pl.DataFrame:
    default = {
        "camera_id": 1,
        "night": date(2024, 3, 8),
        "frame_type": "bias",
        "band": None,
        "exposure_s": 0.0,
        "sensor_degc": -10.0,
        "x_binning": 1,
        "y_binning": 1,
        "n_x_pix": 100,
        "n_y_pix": 80,
        "x_first_pix": None,
        "y_first_pix": None,
        "gain_setting": 100.0,
        "offset_setting": None,
        "readout_mode": None,
    }
    schema = {"band": pl.String, "offset_setting": pl.Float64, "readout_mode": pl.String}
    table = [{"frame_id": i, **default, **row} for i, row in enumerate(rows)]
    return pl.DataFrame(table, schema_overrides=schema)


def members(frames: pl.DataFrame) -> list[list[int]]:
    return sorted(group_masters(frames)["frame_ids"].to_list())


def test_frames_of_one_setting_make_one_master():
    groups = group_masters(frame_rows({}, {}, {"frame_type": "light"}, {}))
    assert groups["frame_ids"].to_list() == [[0, 1, 3]]
    assert groups["kind"].to_list() == ["bias"]
    assert groups["n_frame"].to_list() == [3]


@pytest.mark.parametrize(
    "other",
    [
        {"camera_id": 2},
        {"night": date(2024, 3, 9)},
        {"x_binning": 2},
        {"n_x_pix": 99},
        {"gain_setting": 0.0},
        {"gain_setting": None},
        {"offset_setting": 10.0},
        {"readout_mode": "fast"},
        {"sensor_degc": -20.0},
        {"sensor_degc": None},
    ],
)
def test_another_setting_makes_another_master(other):
    assert members(frame_rows({}, other, {}, other)) == [[0, 2], [1, 3]]


def test_darks_are_grouped_by_exposure_and_flats_by_band():
    dark = {"frame_type": "dark"}
    flat = {"frame_type": "flat", "sensor_degc": -10.0}
    frames = frame_rows(
        {**dark, "exposure_s": 60.0},
        {**dark, "exposure_s": 60.3},
        {**dark, "exposure_s": 90.0},
        {"frame_type": "darkflat", "exposure_s": 90.0},
        {**flat, "band": "g", "exposure_s": 1.0},
        {**flat, "band": "g", "exposure_s": 3.0, "sensor_degc": 5.0},
        {**flat, "band": "r", "exposure_s": 1.0},
        {**flat, "exposure_s": 1.0},
    )
    assert members(frames) == [[0, 1], [2, 3], [4, 5], [6], [7]]


def test_temperatures_drift_within_a_master_but_only_so_far():
    temperatures = [-10.0, -9.3, -8.6, -8.4, -7.9, None]
    frames = frame_rows(*({"sensor_degc": t} for t in temperatures))
    assert members(frames) == [[0, 1, 2], [3, 4], [5]]


def test_frames_without_a_night_or_a_type_make_no_master():
    assert members(frame_rows({"night": None}, {"frame_type": None}, {})) == [[2]]
    assert len(group_masters(frame_rows({}).clear())) == 0


def build_real(
    folder: Path, kind: str, pattern: str, exposures_s: object, **masters
) -> BuiltMaster:
    paths = sorted(folder.glob(pattern))
    with ExitStack() as stack:
        readers = [stack.enter_context(open_rows(path, 1)) for path in paths]
        if isinstance(exposures_s, float):
            exposures_s = [exposures_s] * len(paths)
        return build_master(kind, readers, exposures_s, **masters)


M13_FLATS_S = {
    "g": [11.55, 11.93, 12.08],
    "r": [6.98, 7.13, 7.15],
    "i": [13.29, 14.47, 14.57],
    "z": [38.01, 39.45, 39.64],
}


@pytest.mark.real
def test_m13_flats_divided_by_their_master_are_flat_to_the_photon_noise(real_data):
    folder = real_data / "m13_griz"
    bias = build_real(folder, "bias", "Bias*", 0.0)
    dark = build_real(folder, "dark", "Dark*", 80.0, bias=bias.data_adu)
    assert bias.level_adu == pytest.approx(1311, abs=2)
    assert dark.level_adu == pytest.approx(29, abs=2)
    pedestal = {
        "bias": bias.data_adu,
        "dark": dark.data_adu,
        "dark_is_bias_subtracted": True,
    }
    for band, exposures_s in M13_FLATS_S.items():
        # the third flat is judged by a master that does not contain it
        pair = build_real(
            folder,
            "flat",
            f"domeflat_sdss_{band}_00[12]*",
            exposures_s[:2],
            dark_exposure_s=80.0,
            **pedestal,
        )
        raw = read_pixels(folder / f"domeflat_sdss_{band}_003.fits.fz", 1)
        third = calibrate(raw, flat=pair.data_adu, dark_scale=exposures_s[2] / 80, **pedestal)
        level_adu = np.median(third.data_adu)
        photon_noise = np.sqrt(1 / (1.297 * level_adu) + (5.84 / level_adu) ** 2)
        expected = np.hypot(photon_noise, pair.noise_adu / pair.level_adu)
        relative = (third.data_adu / level_adu)[third.mask == 0]
        scatter = 1.4826 * np.median(np.abs(relative - 1))
        assert scatter == pytest.approx(expected, rel=0.02)
        light = calibrate(
            read_pixels(next(folder.glob(f"M13_sdss_{band}*")), 1),
            flat=pair.data_adu,
            dark_scale=1.5,
            limits=PixelLimits(65_535),
            **pedestal,
        )
        assert np.isfinite(light.data_adu[light.mask == 0]).all()
        assert np.mean(light.mask != 0) < 1e-3
        assert np.median(light.data_adu) == pytest.approx(
            np.median(read_pixels(next(folder.glob(f"M13_sdss_{band}*")), 1)) - 1311 - 44, abs=20
        )


@pytest.mark.real
def test_lpseb35_masters_are_as_quiet_as_their_number_predicts(real_data):
    folder = real_data / "lpseb35"
    bias = build_real(folder, "bias", "Bias*", 0.0)
    assert bias.method == "clipped mean"
    assert bias.noise_adu == pytest.approx(12.27 / 7**0.5, rel=0.02)
    assert 1 - bias.n_used.mean() / 7 < 0.001
    dark = build_real(folder, "dark", "Dark*", 30.0, bias=bias.data_adu, gain_e_per_adu=1.337)
    assert 1 - dark.n_used.mean() / 5 < 0.001
    flat = build_real(folder, "flat", "domeflat*", [30.3, 31.58, 31.77], bias=bias.data_adu)
    assert reasons(flat) == [None] * 3
    raw = read_pixels(next(folder.glob("LPSEB35*")), 1)
    light = calibrate(
        raw,
        bias=bias.data_adu,
        dark=dark.data_adu,
        dark_is_bias_subtracted=True,
        flat=flat.data_adu,
    )
    assert np.isfinite(light.data_adu[light.mask == 0]).all()


@pytest.mark.real
def test_truncated_flats_are_never_combined(real_data):
    # they cannot even be opened; what is left is one flat
    folder = real_data / "damaged"
    readers = []
    for path in sorted(folder.glob("ASI178_Flat*")):
        try:
            readers.append(open_rows(path, 0))
        except PixelError:
            continue
    assert [Path(reader.name).name for reader in readers] == ["ASI178_Flat_0004_whole.fit"]
    flat = build_master("flat", readers, [None])
    assert flat.method == "single frame"
