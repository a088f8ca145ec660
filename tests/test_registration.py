"""Frames are laid on their field wherever, and however, the telescope pointed."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from astropy.io import fits

from starmuster.errors import RegistrationError
from starmuster.transforms.background import mesh_background
from starmuster.transforms.detection import detect
from starmuster.transforms.flags import Flag
from starmuster.transforms.registration import (
    Registration,
    apply_registration,
    fit_registration,
    identity_registration,
    invert_registration,
    registration_from_map,
    registration_row,
)
from starmuster.transforms.starmatch import match_stars

SIZE = 1000
CENTROID_PIX = 0.05


def similarity(shift=(0.0, 0.0), angle_deg=0.0, scale=1.0, mirrored=False):
    """Rotate and scale about the field's centre, then shift."""
    c, s = scale * np.cos(np.radians(angle_deg)), scale * np.sin(np.radians(angle_deg))
    matrix = np.array([[c, -s], [s, c]]) @ np.diag([-1 if mirrored else 1, 1])
    middle = np.full(2, SIZE / 2)
    x0, y0 = scale * middle - matrix @ middle + shift
    (a, b), (d, e) = matrix
    return Registration(1, (x0, a, b), (y0, d, e), 0, None)


def table(xy, flux):
    return pl.DataFrame({"x_pix": xy[:, 0], "y_pix": xy[:, 1], "flux_adu": flux})


def field_of(n_star, seed):
    rng = np.random.default_rng(seed)
    return table(rng.uniform(0, SIZE, (n_star, 2)), 10 ** rng.uniform(2, 5, n_star))


def frame_of(field, truth, *, seed, size=SIZE, missing=0.15, false=0.15, centroid_pix=CENTROID_PIX):
    """What a frame shows of a field: moved, with stars missing and false ones, brightness off."""
    rng = np.random.default_rng(seed)
    xy = np.column_stack(apply_registration(truth, field["x_pix"], field["y_pix"]))
    keep = np.all((xy > 0) & (xy < size), axis=1) & (rng.random(len(xy)) > missing)
    n_false = round(false * keep.sum())
    xy = np.vstack(
        [
            xy[keep] + rng.normal(0, centroid_pix, (keep.sum(), 2)),
            rng.uniform(0, size, (n_false, 2)),
        ]
    )
    flux = field["flux_adu"].to_numpy()[keep] * rng.lognormal(0.3, 0.1, keep.sum())
    flux = np.append(flux, rng.choice(flux, n_false))
    order = rng.permutation(len(xy))
    return table(xy[order], flux[order])


def worst_miss_pix(registration, truth, *, low=0, high=SIZE, size=SIZE):
    """Largest distance from the truth over the part of the field the frame shows."""
    x, y = (a.ravel() for a in np.meshgrid(*[np.linspace(low, high, 15)] * 2))
    there = np.array(apply_registration(truth, x, y))
    seen = np.all((there > 0) & (there < size), axis=0)
    found = np.array(apply_registration(registration, x, y))
    return np.hypot(*(found - there))[seen].max()


TRUTHS = {
    "drifted": similarity((275.0, -64.0)),
    "drifted by half a field": similarity((-420.0, 310.0), 1.5),
    "flipped at the meridian": similarity((12.0, -30.0), 180.3),
    "turned": similarity((40.0, 60.0), 77.0),
    "other scale": similarity((100.0, 80.0), -12.0, 0.61),
    "mirrored": similarity((20.0, 10.0), 3.0, mirrored=True),
}


@pytest.mark.parametrize("truth", TRUTHS.values(), ids=TRUTHS.keys())
@pytest.mark.parametrize("n_star", [60, 600])
def test_a_frame_is_laid_on_its_field_to_a_twentieth_of_a_pixel(truth, n_star):
    field = field_of(n_star, 1)
    match = match_stars(field, frame_of(field, truth, seed=2))
    assert match.method == "asterism"
    # 20 shared stars and a centroid error of 0.05 leave 0.03 at the corners of an affine fit
    limit_pix = 0.05 if n_star > 100 else 0.12
    assert worst_miss_pix(match.registration, truth) < limit_pix
    assert match.registration.rms_pix == pytest.approx(CENTROID_PIX, rel=0.35)


def test_pairs_name_the_rows_of_both_tables():
    field = field_of(200, 3)
    truth = similarity((30.0, 40.0), 10.0)
    frame = frame_of(field, truth, seed=4)
    match = match_stars(field, frame)
    here = field[match.field_index.tolist()]
    there = np.array(apply_registration(truth, here["x_pix"], here["y_pix"]))
    seen = frame[match.frame_index.tolist()].select("x_pix", "y_pix").to_numpy().T
    assert np.hypot(*(there - seen)).max() < 6 * CENTROID_PIX
    assert len(np.unique(match.frame_index)) == len(match.frame_index) > 100


def test_a_guess_is_corrected_by_the_shift_most_stars_agree_on():
    field = field_of(300, 5)
    truth = similarity((52.0, -37.0), 0.4)
    match = match_stars(field, frame_of(field, truth, seed=6), guess=identity_registration())
    assert match.method == "guess"
    assert worst_miss_pix(match.registration, truth) < 0.05


def test_a_wrong_guess_does_no_harm():
    field = field_of(300, 7)
    truth = similarity((30.0, 0.0), 180.0)
    match = match_stars(field, frame_of(field, truth, seed=8), guess=similarity((-500.0, 400.0)))
    assert match.method == "asterism"
    assert worst_miss_pix(match.registration, truth) < 0.05


def test_a_dozen_stars_are_enough():
    field = field_of(14, 9)
    truth = similarity((25.0, -18.0), 1.0)
    match = match_stars(field, frame_of(field, truth, seed=10, missing=0.1, false=0.2))
    assert worst_miss_pix(match.registration, truth) < 0.3


@pytest.mark.parametrize("n_star", [8, 30, 300, 3000])
def test_two_pieces_of_sky_are_never_taken_for_one(n_star):
    for seed in range(5):
        with pytest.raises(RegistrationError, match=f"{min(n_star, 1000)} stars in the field"):
            match_stars(
                field_of(n_star, seed), field_of(n_star, seed + 100), guess=identity_registration()
            )


def test_clustered_fields_are_not_matched_by_their_density():
    rng = np.random.default_rng(11)
    clusters = [
        table(rng.normal(500, 60, (1500, 2)), 10 ** rng.uniform(2, 5, 1500)) for _ in range(2)
    ]
    with pytest.raises(RegistrationError, match="pairs"):
        match_stars(*clusters, guess=identity_registration())


def test_too_few_stars_are_told_with_their_number():
    field = field_of(50, 12)
    with pytest.raises(RegistrationError, match="3 on the frame: at least 4"):
        match_stars(field, field.head(3))
    with pytest.raises(RegistrationError, match="0 on the frame"):
        match_stars(field, field.clear())


def test_saturated_and_edge_stars_step_back_where_there_are_others():
    field = field_of(100, 13)
    truth = similarity((5.0, 5.0))
    frame = frame_of(field, truth, seed=14, false=0.0)
    worse = frame.with_columns(
        x_pix=pl.when(pl.int_range(pl.len()) < 20).then(pl.col("x_pix") + 1.2).otherwise("x_pix"),
        flags=pl.when(pl.int_range(pl.len()) < 20).then(1).otherwise(0),
    )
    assert worst_miss_pix(match_stars(field, worse).registration, truth) < 0.05


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_the_degree_is_the_one_the_stars_deserve(degree):
    rng = np.random.default_rng(15)
    u = 1 / SIZE
    bend = {1: (), 2: (2e-6, -1e-6, 3e-6), 3: (2e-6, -1e-6, 3e-6, 3e-9, 1e-9, -2e-9, 4e-9)}[degree]
    truth = Registration(degree, (80.0, 1.0, 5 * u, *bend), (-30.0, -5 * u, 1.0, *bend), 0, None)
    xy = rng.uniform(0, SIZE, (400, 2))
    frame = np.column_stack(apply_registration(truth, *xy.T))
    frame += rng.normal(0, CENTROID_PIX, frame.shape)
    frame[::20] += rng.normal(0, 5, frame[::20].shape)  # wrong pairs
    fit = fit_registration(xy, frame)
    assert fit.degree == degree
    assert worst_miss_pix(fit, truth) < 0.05
    assert fit.rms_pix == pytest.approx(CENTROID_PIX, rel=0.1)
    assert 370 <= fit.n_star <= 385


def test_faint_stars_weigh_less():
    rng = np.random.default_rng(16)
    truth = similarity((3.0, -4.0), 0.2)
    flux = 10 ** rng.uniform(1, 5, 300)
    noise = np.hypot(0.01, 1.5 / np.sqrt(flux))
    errors = {"weighted": [], "even": []}
    for _ in range(30):
        xy = rng.uniform(0, SIZE, (300, 2))
        frame = np.column_stack(apply_registration(truth, *xy.T))
        frame += noise[:, None] * rng.normal(0, 1, frame.shape)
        for name, weights in (("weighted", flux), ("even", None)):
            fit = fit_registration(xy, frame, flux=weights, max_degree=1)
            errors[name].append(worst_miss_pix(fit, truth))
    assert np.mean(errors["weighted"]) < 0.5 * np.mean(errors["even"])


def test_a_few_stars_give_a_similarity_and_no_more():
    truth = similarity((10.0, 5.0), 30.0, mirrored=True)
    xy = np.array([[100.0, 100.0], [900.0, 150.0], [500.0, 800.0], [200.0, 600.0]])
    frame = np.column_stack(apply_registration(truth, *xy.T))
    fit = fit_registration(xy, frame + np.random.default_rng(17).normal(0, 0.05, frame.shape))
    a, b = fit.x_coefficient[1:]
    assert (fit.y_coefficient[1:]) == pytest.approx((b, -a))
    assert worst_miss_pix(fit, truth) < 0.3


def test_stars_on_a_line_do_not_fix_a_frame():
    x = np.linspace(0, 900, 10)
    with pytest.raises(RegistrationError, match="one line"):
        fit_registration(np.column_stack([x, x]), np.column_stack([x, x]))
    with pytest.raises(RegistrationError, match="4 needed"):
        fit_registration(np.zeros((3, 2)), np.zeros((3, 2)))


def test_frame_pixels_come_back_to_the_field():
    registration = Registration(
        3,
        (50.0, 0.99, -0.02, 2e-6, -1e-6, 3e-6, 1e-9, 2e-9, -1e-9, 1e-9),
        (-20.0, 0.02, 1.01, 1e-6, 2e-6, -3e-6, -1e-9, 1e-9, 2e-9, 1e-9),
        0,
        None,
    )
    x, y = np.random.default_rng(18).uniform(0, 2000, (2, 500))
    back = invert_registration(registration, *apply_registration(registration, x, y))
    np.testing.assert_allclose(back, [x, y], atol=1e-8)


def test_a_map_is_expressed_as_a_polynomial():
    def carry(x, y):
        return x + 12 + 1e-6 * x * y, y - 7 + 2e-6 * x**2

    registration = registration_from_map(carry, 900, 700)
    x, y = np.random.default_rng(19).uniform(0, 700, (2, 100))
    np.testing.assert_allclose(apply_registration(registration, x, y), carry(x, y), atol=1e-8)
    with pytest.raises(RegistrationError, match="do not share"):
        registration_from_map(lambda x, y: (x * np.nan, y), 900, 700)


def test_the_row_of_the_table_holds_the_shift_of_the_centre():
    row = registration_row(
        similarity((8.0, -3.0)), method="stars", n_x_pix=SIZE + 1, n_y_pix=SIZE + 1
    ).row(0, named=True)
    assert (row["x_shift_pix"], row["y_shift_pix"]) == pytest.approx((8.0, -3.0))
    assert (row["degree"], row["n_star"], row["rms_pix"]) == (1, 0, None)
    assert len(row["x_coefficient"]) == 3


def stars_on(path: Path, hdu: int) -> pl.DataFrame:
    image = np.asarray(fits.getdata(path, hdu), dtype=np.float32)
    return detect(image, background=mesh_background(image))


@pytest.mark.real
def test_the_night_of_hat_p_32_lies_on_its_first_frame(real_data):
    paths = sorted((real_data / "hatp32").glob("*.FITS"))
    assert len(paths) == 142
    field = stars_on(paths[0], 0)
    rms_pix, shift_pix = [], []
    for path in paths:
        try:
            registration = match_stars(field, stars_on(path, 0)).registration
        except RegistrationError:
            continue
        rms_pix.append(registration.rms_pix)
        shift_pix.append(registration.x_coefficient[0])
    assert len(rms_pix) >= 140
    assert np.median(rms_pix) < 0.1
    assert max(rms_pix) < 0.25
    assert np.ptp(shift_pix) == pytest.approx(275, abs=10)


@pytest.mark.real
def test_frames_of_a_poor_field_are_matched_without_a_wcs(real_data):
    paths = sorted((real_data / "lpseb35").glob("LPSEB35*"))
    field = stars_on(paths[0], 1)
    for path in paths[::4]:
        registration = match_stars(field, stars_on(path, 1)).registration
        assert registration.rms_pix < 0.3
        assert np.hypot(registration.x_coefficient[0], registration.y_coefficient[0]) < 30


def test_stars_cut_by_the_edge_do_not_pull_a_match_of_few_stars():
    rng = np.random.default_rng(21)
    field = table(rng.uniform(20, 180, (14, 2)), 10 ** rng.uniform(3, 4, 14))
    xy = field.select("x_pix", "y_pix").to_numpy() + np.array([90.0, 0.0])
    is_cut = np.argsort(xy[:, 0])[-4:]
    xy[is_cut, 0] -= (1.2, 2.0, 2.8, 3.4)  # only what lies on the frame has a centre
    flags = np.zeros(14, dtype=np.int32)
    flags[is_cut] = Flag.EDGE.value
    frame = table(xy, field["flux_adu"].to_numpy()).with_columns(flags=pl.Series(flags))
    match = match_stars(field, frame)
    assert len(match.frame_index) == 10
    assert worst_miss_pix(match.registration, similarity((90.0, 0.0)), high=180, size=400) < 0.01
