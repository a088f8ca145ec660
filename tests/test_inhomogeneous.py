"""The inhomogeneous ensemble against truth, and against SciPy's sparse least squares."""

import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import lsqr

from starmuster.analysis.inhomogeneous import _least_squares, solve_inhomogeneous
from starmuster.errors import AnalysisError

N_STAR, N_FRAME = 25, 80


def field(seed=1, sigma=0.004, n_star=N_STAR, n_frame=N_FRAME):
    """Magnitudes, errors, and the true means and zero points (mean 0)."""
    generator = np.random.default_rng(seed)
    mean = generator.uniform(-12, -8, n_star)
    zero = 0.3 * np.sin(np.linspace(0, 4, n_frame)) + 0.8 * (np.arange(n_frame) // 7 % 5 == 2)
    zero -= zero.mean()
    mag = mean[:, None] + zero + sigma * generator.normal(size=(n_star, n_frame))
    return mag, np.full_like(mag, sigma), mean, zero


def test_stars_and_frames_come_back_however_many_are_missing():
    mag, err, mean, zero = field()
    generator = np.random.default_rng(2)
    mag[generator.uniform(size=mag.shape) < 0.4] = np.nan
    mag[:5, 40:] = np.nan  # stars that set
    found = solve_inhomogeneous(mag, err, np.ones(N_STAR, bool))
    pull = (found.zero_mag - zero) / found.zero_err_mag
    assert np.abs(found.zero_mag - zero).max() < 0.008
    assert 0.75 < np.std(pull) < 1.3
    assert np.abs(found.mean_mag - mean).max() < 0.004
    assert (found.n_star == np.isfinite(mag).sum(axis=0)).all()


def test_the_solution_is_that_of_a_sparse_solver():
    mag, _, _, _ = field(3)
    generator = np.random.default_rng(4)
    weight = generator.uniform(1, 9, mag.shape) * (generator.uniform(size=mag.shape) < 0.6)
    mean, zero = _least_squares(mag, weight)
    star, frame = np.nonzero(weight)
    row, root = np.arange(len(star)), np.sqrt(weight[star, frame])
    design = coo_matrix(
        (np.r_[root, root], (np.r_[row, row], np.r_[star, N_STAR + frame])),
        shape=(len(star), N_STAR + N_FRAME),
    ).tocsr()
    theirs = lsqr(design, root * mag[star, frame], atol=1e-14, btol=1e-14, iter_lim=5000)[0]
    shift = theirs[N_STAR:].mean()
    assert mean == pytest.approx(theirs[:N_STAR] + shift, abs=1e-6)
    assert zero == pytest.approx(theirs[N_STAR:] - shift, abs=1e-6)
    turned = _least_squares(mag.T, weight.T)  # the other axis is eliminated
    assert turned[0] - turned[0].mean() == pytest.approx(zero - zero.mean(), abs=1e-9)


def test_a_variable_star_hardly_moves_the_zero_points():
    mag, err, _, zero = field(5)
    mag[3] += 0.3 * np.sin(np.arange(N_FRAME) / 3)
    err[3] = 1e-4  # and it is the brightest
    found = solve_inhomogeneous(mag, err, np.ones(N_STAR, bool))
    assert np.abs(found.zero_mag - zero).max() < 0.012
    assert found.scatter_mag[3] > 0.1
    others = np.delete(found.scatter_mag, 3)
    assert others == pytest.approx(0.004, rel=0.5)


def test_frames_without_a_star_and_stars_without_a_frame_stay_unknown():
    mag, err, _, _ = field(6)
    mag[:, 10] = np.nan
    mag[7] = np.nan
    found = solve_inhomogeneous(mag, err, np.ones(N_STAR, bool))
    assert np.isnan(found.zero_mag[10])
    assert found.n_star[10] == 0
    assert np.isnan(found.mean_mag[7])
    assert np.isfinite(np.delete(found.zero_mag, 10)).all()


def test_one_star_and_no_star():
    mag, err, _, zero = field(7)
    one = np.zeros(N_STAR, bool)
    one[0] = True
    found = solve_inhomogeneous(mag, err, one)
    assert found.zero_mag == pytest.approx(mag[0] - mag[0].mean(), abs=1e-9)
    assert np.abs(found.zero_mag - zero).max() < 0.02
    with pytest.raises(AnalysisError, match="no star is left"):
        solve_inhomogeneous(mag, err, ~np.ones(N_STAR, bool))
