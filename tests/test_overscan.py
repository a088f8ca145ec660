"""Overscan and trim: ccdproc's numbers, and headers that are not believed."""

import ccdproc
import numpy as np
import pytest
from astropy.nddata import CCDData

from starmuster.errors import CalibrationError
from starmuster.transforms.calibrate import PixelLimits, calibrate
from starmuster.transforms.linearity import make_linearity
from starmuster.transforms.mask import PixelMask
from starmuster.transforms.masters import build_master
from starmuster.transforms.overscan import read_sections, whole_frame
from starmuster.transforms.pixels import ArrayRows

SHAPE = (50, 80)
BESIDE = [("BIASSEC", "[4:13,1:50]", None), ("TRIMSEC", "[17:76,1:48]", None)]
ABOVE = [("BIASSEC", "[1:80,43:50]", None), ("DATASEC", "[3:80,1:40]", None)]


@pytest.fixture
def raw() -> np.ndarray:
    """A frame whose pedestal drifts from row to row, and differs from column to column."""
    rng = np.random.default_rng(2)
    pedestal = 900 + np.linspace(0, 40, SHAPE[0])[:, None] + 3 * np.sin(np.arange(SHAPE[1]) / 7)
    return np.round(pedestal + rng.normal(0, 4, SHAPE)).astype(np.uint16)


def by_ccdproc(raw: np.ndarray, cards: list, axis: int) -> np.ndarray:
    said = {keyword: value for keyword, value, _ in cards}
    frame = CCDData(raw.astype(np.float64), unit="adu")
    frame = ccdproc.subtract_overscan(
        frame, fits_section=said["BIASSEC"], overscan_axis=axis, median=True
    )
    return ccdproc.trim_image(frame, fits_section=said.get("TRIMSEC", said.get("DATASEC"))).data


@pytest.mark.parametrize(("cards", "axis"), [(BESIDE, 1), (ABOVE, 0)])
def test_overscan_and_trim_are_those_of_ccdproc(raw, cards, axis):
    sections = read_sections(cards, SHAPE)
    ours = calibrate(raw, sections=sections)
    np.testing.assert_array_equal(
        ours.data_adu[sections.light.slices], by_ccdproc(raw, cards, axis).astype(np.float32)
    )


def test_a_trimmed_frame_keeps_its_coordinates_and_masks_what_lies_beyond(raw):
    ours = calibrate(raw, sections=read_sections(BESIDE, SHAPE))
    is_light = np.zeros(SHAPE, bool)
    is_light[:48, 16:76] = True
    assert ours.data_adu.shape == SHAPE
    assert not ours.mask[is_light].any()
    assert (ours.mask[~is_light] == PixelMask.OUTSIDE).all()
    assert np.isnan(ours.data_adu[~is_light]).all()


@pytest.mark.parametrize("cards", [BESIDE, ABOVE])
def test_a_master_of_trimmed_frames_is_that_of_frames_trimmed_before(raw, cards):
    rng = np.random.default_rng(5)
    frames = [raw + rng.integers(0, 9, SHAPE).astype(np.uint16) for _ in range(7)]
    sections = read_sections(cards, SHAPE)
    slices = sections.light.slices
    trimmed = [calibrate(frame, sections=sections).data_adu[slices] for frame in frames]
    names = [f"bias_{i}" for i in range(7)]
    ours = build_master(
        "bias",
        [ArrayRows(f, name) for f, name in zip(frames, names, strict=True)],
        [0.0] * 7,
        sections=[sections] * 7,
        memory_byte=20_000,
    )
    plain = build_master(
        "bias", [ArrayRows(f, name) for f, name in zip(trimmed, names, strict=True)], [0.0] * 7
    )
    assert ours.data_adu.shape == sections.light.shape
    np.testing.assert_array_equal(ours.data_adu, plain.data_adu)
    light = calibrate(raw, bias=ours.data_adu, sections=sections)
    assert np.isfinite(light.data_adu[sections.light.slices]).all()


def test_saturation_is_judged_before_the_overscan_is_taken_off(raw):
    raw[10, 20] = 65_535
    ours = calibrate(raw, sections=read_sections(BESIDE, SHAPE), limits=PixelLimits(65_535.0))
    found = np.argwhere(ours.mask & PixelMask.SATURATED)
    np.testing.assert_array_equal(found, [[10, 20]])


def test_a_master_of_the_whole_frame_does_not_fit_the_trimmed_one(raw):
    with pytest.raises(CalibrationError, match="60 x 48 pixels, but the master bias has 80 x 50"):
        calibrate(raw, bias=np.ones(SHAPE, np.float32), sections=read_sections(BESIDE, SHAPE))


@pytest.mark.parametrize(
    ("cards", "why"),
    [
        ([("BIASSEC", "[4:13,1:520]", None)], "BIASSEC = '[4:13,1:520]' is no part of the frame"),
        ([("TRIMSEC", "[0:80,1:50]", None)], "TRIMSEC"),
        ([("TRIMSEC", "[1.5:80,1:50]", None)], "TRIMSEC"),
        (
            [("BIASSEC", "[4:13,1:50]", None), ("TRIMSEC", "[1:80,1:50]", None)],
            "the overscan [4:13,1:50] lies in the light [1:80,1:50]",
        ),
    ],
)
def test_sections_that_make_no_sense_are_not_used_and_say_why(cards, why):
    sections = read_sections(cards, SHAPE)
    assert sections.light == whole_frame(SHAPE).light
    assert sections.overscan is None
    assert why in (sections.issue or "")


@pytest.mark.parametrize("text", ["UNKNOWN", "", "none", 0, None])
def test_a_section_that_is_not_given_is_no_issue(text):
    assert read_sections([("TRIMSEC", text, None)], SHAPE) == whole_frame(SHAPE)


def test_sections_may_have_blanks_run_backwards_or_be_stars():
    cards = [("TRIMSEC", "[  76 :17,*]", None)]
    assert str(read_sections(cards, SHAPE).light) == "[17:76,1:50]"


def test_an_overscan_alone_leaves_the_larger_side_as_light():
    sections = read_sections([("BIASSEC", "[71:80,1:50]", None)], SHAPE)
    assert sections.trim == "[1:70,1:50]"


def test_a_linearity_table_gives_back_the_light_that_fell():
    true = np.linspace(0, 50_000, SHAPE[0] * SHAPE[1]).reshape(SHAPE)
    levels = np.linspace(0, 55_000, 23)

    # a camera that counts 4 % too little at 50,000 ADU
    def share(level):
        return 1 - 0.04 * level / 50_000

    counted = true * share(true)
    table = make_linearity([(level * share(level), 1 / share(level)) for level in levels])
    bias = np.full(SHAPE, 1000.0, np.float32)
    ours = calibrate((counted + 1000).astype(np.float32), bias=bias, linearity=table)
    np.testing.assert_allclose(ours.data_adu, true, atol=2.0)
    assert not ours.mask.any()


def test_light_beyond_what_is_linear_is_flagged_with_a_table_and_without():
    raw = np.full((4, 5), 1000.0, np.float32)
    raw[1, 2] = 41_000
    bias = np.full(raw.shape, 1000.0, np.float32)
    table = make_linearity([(0, 1.0), (39_999, 1.01)])
    for options in ({"linearity": table}, {"limits": PixelLimits(linearity_adu=41_000)}):
        ours = calibrate(raw, bias=bias, **options)
        np.testing.assert_array_equal(np.argwhere(ours.mask == PixelMask.NONLINEAR), [[1, 2]])
    assert ours.data_adu[1, 2] == 40_000
