"""Comparison stars and differential flux on fields of known truth."""

import numpy as np
import polars as pl
import pytest

from starmuster.analysis.ensembles import choose_comparison, differential
from starmuster.errors import AnalysisError, NotFoundError

N_FRAME = 200
TARGET = 0


def field(flux, *, err=None, is_clean=None, xy=None, seed=0) -> pl.DataFrame:
    """Rows of a field from fluxes, shape (n_star, n_frame); star 0 is the target, in the middle."""
    n_star = len(flux)
    if xy is None:
        xy = np.random.default_rng(seed).uniform(-500, 500, (n_star, 2))
        xy[np.hypot(*xy.T) < 20] += 40
        xy[TARGET] = 0
    i, j = (index.ravel() for index in np.indices(flux.shape))
    return (
        pl.DataFrame(
            {
                "frame_id": 1000 + j,
                "source_id": i,
                "mid_bjd": 2459000.5 + j / 720,
                "flux_adu": flux.ravel(),
                "flux_err_adu": np.full(flux.size, np.nan) if err is None else err.ravel(),
                "is_clean": np.ones(flux.size, bool) if is_clean is None else is_clean.ravel(),
                "x_pix": xy[i, 0],
                "y_pix": xy[i, 1],
            }
        )
        .with_columns(pl.col("flux_err_adu").fill_nan(None))
        .sample(fraction=1, shuffle=True, seed=seed)
    )


def noisy(levels, sigma, *, n_frame=N_FRAME, seed=0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    noise = generator.normal(size=(len(levels), n_frame)) * np.asarray(sigma)[:, None]
    return np.asarray(levels, float)[:, None] * (1 + noise)


def clouds(n_frame=N_FRAME) -> np.ndarray:
    """Extinction over the night and a cloud that takes 70 %."""
    phase = np.linspace(-1, 1, n_frame)
    return (1 - 0.2 * phase**2) * (1 - 0.7 * np.exp(-(((phase - 0.3) / 0.05) ** 2)))


def weights(choice: pl.DataFrame) -> dict[int, float]:
    return dict(choice.filter("is_used").select("source_id", "weight").iter_rows())


def reason(choice: pl.DataFrame, source_id: int) -> str:
    return choice.filter(pl.col("source_id") == source_id)["reason"].item()


def test_weights_are_the_inverse_variances_of_the_stars():
    sigma = np.array([0.004, 0.002, 0.003, 0.003, 0.004, 0.004, 0.005, 0.005])
    flux = noisy(np.full(8, 1e5), sigma, n_frame=2000) * clouds(2000)
    choice = choose_comparison(field(flux), TARGET, max_weight=1.0)
    assert choice.height == 7
    assert choice["is_used"].all()
    assert choice["weight"].sum() == pytest.approx(1)
    expected = sigma[1:] ** -2.0 / np.sum(sigma[1:] ** -2.0)
    found = choice.sort("source_id")["weight"].to_numpy()
    # A robust scatter of 2000 points is known to 2.6 %, its square to 5 %.
    assert np.abs(found / expected - 1).max() < 0.2
    assert np.abs(choice.sort("source_id")["scatter"].to_numpy() / sigma[1:] - 1).max() < 0.1


def test_a_variable_star_is_rejected_and_the_others_stay():
    flux = noisy(np.full(9, 1e5), np.full(9, 0.003)) * clouds()
    flux[4] *= 1 + 0.03 * np.sin(np.linspace(0, 9, N_FRAME))
    choice = choose_comparison(field(flux), TARGET)
    assert reason(choice, 4).startswith("variable")
    assert set(weights(choice)) == {1, 2, 3, 5, 6, 7, 8}


def test_where_all_stars_vary_one_is_left_at_most_and_the_others_are_said_to():
    generator = np.random.default_rng(2)
    flux = noisy(np.full(9, 1e5), np.full(9, 0.003)) * clouds()
    for star in range(1, 9):
        phase = np.linspace(0, generator.uniform(5, 15), N_FRAME) + generator.uniform(0, 6)
        flux[star] *= 1 + 0.05 * np.sin(phase)
    choice = choose_comparison(field(flux), TARGET)
    assert choice["is_used"].sum() == 1
    rejected = choice.filter(~pl.col("is_used"))["reason"]
    assert rejected.str.contains("^(noisy|variable)").all()


def test_the_brightest_star_is_no_exception_when_it_varies():
    levels = np.array([1e5, 8e5, 1e5, 1e5, 1e5, 1e5])
    flux = noisy(levels, [0.003, 0.0005, 0.003, 0.003, 0.003, 0.003])
    flux[1] *= 1 + 0.02 * np.sin(np.linspace(0, 7, N_FRAME))
    assert reason(choose_comparison(field(flux), TARGET), 1).startswith("variable")


def test_every_star_has_a_reason():
    levels = np.array([1e5, 1e5, 1e5, 1e5, 5e3, 3e6, 1e5, 1e5, 1e5])
    flux = noisy(levels, [*[0.003] * 7, 0.03, 0.003])
    is_clean = np.ones(flux.shape, bool)
    is_clean[3, ::4] = False
    xy = np.array([[0, 0], [40, 0], [50, 0], [0, 50], [60, 0], [70, 0], [3, 4], [80, 0], [90, 0]])
    choice = choose_comparison(field(flux, is_clean=is_clean, xy=xy.astype(float)), TARGET)
    assert choice["source_id"].to_list() == list(range(1, 9))
    assert reason(choice, 3) == "clean on 75 % of the frames, 90 % needed"
    assert reason(choice, 4) == "3.3 mag fainter than the target, at most 2.5"
    assert reason(choice, 5) == "3.7 mag brighter than the target, at most 3"
    assert reason(choice, 6) == "5.0 pix from the target, 10 needed"
    assert reason(choice, 7).startswith("noisy")
    assert set(weights(choice)) == {1, 2, 8}
    assert choice.filter(~pl.col("is_used"))["weight"].null_count() == 5


def test_the_nearest_are_judged_and_the_steadiest_used():
    sigma = np.concatenate([[0.003], np.linspace(0.002, 0.004, 20)])
    xy = np.column_stack([np.arange(21) * 30.0, np.zeros(21)])
    choice = choose_comparison(field(noisy(np.full(21, 1e5), sigma), xy=xy), TARGET, max_n=4)
    assert choice["is_used"].sum() == 4
    assert set(weights(choice)) <= set(range(1, 13))
    assert reason(choice, 20) == "further than the 12 nearest"
    assert sum("less steady" in text for text in choice["reason"]) == 8


def test_the_targets_own_curve_has_no_say():
    flux = noisy(np.full(8, 1e5), np.linspace(0.002, 0.004, 8)) * clouds()
    other = flux.copy()
    other[TARGET] *= 1 + 0.3 * np.random.default_rng(9).normal(size=N_FRAME)
    assert choose_comparison(field(flux), TARGET).equals(choose_comparison(field(other), TARGET))


def test_frames_in_transit_have_no_say():
    flux = noisy(np.full(8, 1e5), np.full(8, 0.003))
    other = flux.copy()
    other[3, 80:120] *= 1.2
    outside = [1000 + j for j in range(N_FRAME) if not 80 <= j < 120]
    choices = [
        choose_comparison(field(each), TARGET, out_of_transit=outside) for each in (flux, other)
    ]
    assert choices[0].equals(choices[1])
    assert weights(choices[0]).keys() == set(range(1, 8))


def test_no_star_has_more_than_its_cap():
    sigma = np.array([0.003, 0.001, 0.003, 0.003, 0.003, 0.003])
    choice = choose_comparison(
        field(noisy(np.full(6, 1e5), sigma)), TARGET, max_weight=0.3, max_noise=9
    )
    assert weights(choice)[1] == pytest.approx(0.3)
    assert sum(weights(choice).values()) == pytest.approx(1)


def test_one_star_alone_is_used_and_said():
    choice = choose_comparison(field(noisy([1e5, 1e5], [0.003, 0.003])), TARGET)
    assert weights(choice) == {1: 1.0}
    assert reason(choice, 1) == "the only star left"


def test_clouds_and_extinction_are_removed():
    flux = noisy(np.full(9, 1e5), np.full(9, 0.003)) * clouds()
    rows = field(flux)
    curve = differential(rows, TARGET, choose_comparison(rows, TARGET))
    assert curve["frame_id"].to_list() == list(range(1000, 1000 + N_FRAME))
    assert curve["relative_flux"].median() == pytest.approx(1)
    # The target's 0.3 % and the eighth of it from eight stars.
    assert curve["relative_flux"].std() == pytest.approx(0.003 * np.sqrt(1 + 1 / 8), rel=0.15)
    shape = clouds() / np.median(clouds())
    assert np.abs(curve["ensemble_flux"].to_numpy() / shape - 1).max() < 0.006
    assert (curve["n_comparison"] == 8).all()


def test_equal_weights_of_equal_stars_are_the_plain_sum():
    flux = noisy(np.full(6, 1e5), np.full(6, 0.003)) * clouds()
    used = pl.DataFrame(
        {"source_id": range(1, 6), "is_used": True, "weight": 0.2, "scatter": 0.003, "reason": ""}
    )
    naive = flux[TARGET] / flux[1:].sum(axis=0)
    found = differential(field(flux), TARGET, used)["relative_flux"].to_numpy()
    # Levels are known to 0.3 % / sqrt(200), and act on differences of 0.3 % between stars.
    assert np.abs(found / (naive / np.median(naive)) - 1).max() < 1e-5


def test_an_injected_transit_keeps_its_depth():
    flux = noisy(np.full(9, 1e5), np.full(9, 0.002)) * clouds()
    inside = slice(70, 130)
    flux[TARGET, inside] *= 0.98
    rows = field(flux)
    outside = [1000 + j for j in range(N_FRAME) if not 70 <= j < 130]
    curve = differential(rows, TARGET, choose_comparison(rows, TARGET, out_of_transit=outside))
    relative = curve["relative_flux"].to_numpy()
    depth = 1 - relative[inside].mean() / np.delete(relative, np.r_[inside]).mean()
    assert depth == pytest.approx(0.02, abs=3 * 0.0021 * np.sqrt(1 / 60 + 1 / 140))


def test_a_star_that_is_missing_makes_no_step():
    """One of three stars, five times as bright as the others, is off the second half."""
    flux = noisy([1e5, 5e5, 1e5, 1e5], np.full(4, 0.0005)) * clouds()
    is_clean = np.ones(flux.shape, bool)
    is_clean[1, 100:] = False
    rows = field(flux, is_clean=is_clean)
    choice = choose_comparison(rows, TARGET, min_frames_fraction=0.4, max_weight=1.0)
    curve = differential(rows, TARGET, choice)
    relative = curve["relative_flux"].to_numpy()
    assert abs(relative[:100].mean() - relative[100:].mean()) < 3 * 0.0005 * np.sqrt(4 / 100)
    assert curve["n_comparison"].to_list() == [3] * 100 + [2] * 100


def test_a_frame_without_comparison_keeps_its_row_without_a_flux():
    flux = noisy(np.full(4, 1e5), np.full(4, 0.003))
    is_clean = np.ones(flux.shape, bool)
    is_clean[1:, 17] = False
    rows = field(flux, is_clean=is_clean)
    curve = differential(rows, TARGET, choose_comparison(rows, TARGET))
    assert curve.height == N_FRAME
    assert curve.row(17, named=True) == {
        "frame_id": 1017,
        "relative_flux": None,
        "relative_flux_err": None,
        "ensemble_flux": None,
        "n_comparison": 0,
    }


def test_errors_are_the_targets_and_the_ensembles_in_quadrature():
    flux = noisy(np.full(5, 1e5), np.full(5, 0.003))
    choice = choose_comparison(field(flux), TARGET)
    err = np.full(flux.shape, 300.0)
    curve = differential(field(flux, err=err), TARGET, choice)
    weight = np.array(list(weights(choice).values()))
    expected = 0.003 * np.sqrt(1 + np.sum(weight**2))
    assert np.allclose(curve["relative_flux_err"], expected, rtol=0.02)
    err[1:] = np.nan  # comparison stars count with their scatter
    curve = differential(field(flux, err=err), TARGET, choice)
    assert np.allclose(curve["relative_flux_err"], expected, rtol=0.1)
    err[TARGET] = np.nan
    curve = differential(field(flux, err=err), TARGET, choice)
    assert curve["relative_flux_err"].null_count() == N_FRAME


def test_a_target_that_was_not_measured_or_has_no_comparison_is_refused():
    rows = field(noisy([1e5, 1e5, 1e2], np.full(3, 0.003)))
    with pytest.raises(NotFoundError, match="source 99"):
        choose_comparison(rows, 99)
    with pytest.raises(NotFoundError, match="source 99"):
        differential(rows, 99, choose_comparison(rows, TARGET))
    none = choose_comparison(rows, 2, max_brighter_mag=1)
    assert not none["is_used"].any()
    with pytest.raises(AnalysisError, match="none of 2 stars"):
        differential(rows, 2, none)
