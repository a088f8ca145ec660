"""The time-averaging factor on noise of known colour."""

import numpy as np

from starmuster.analysis.red_noise import robust_scatter, time_averaging_factor

N_POINT = 400
TIME_D = np.arange(N_POINT) * 2 / 1440


def trend() -> np.ndarray:
    """Orthonormal constant and slope, as a fitted baseline takes them out."""
    return np.linalg.qr(np.column_stack([np.ones(N_POINT), TIME_D]))[0]


def residual(noise: np.ndarray) -> np.ndarray:
    return noise - trend() @ (trend().T @ noise)


def test_white_noise_has_a_factor_near_one():
    generator = np.random.default_rng(2)
    factors = [
        time_averaging_factor(TIME_D, residual(generator.normal(size=N_POINT)), trend())
        for _ in range(50)
    ]
    assert min(factors) >= 1
    assert np.mean(factors) < 1.1


def test_the_factor_is_that_of_the_averages_of_correlated_noise():
    """A sum of white noise and noise constant over 60 minutes."""
    generator = np.random.default_rng(3)
    factors = []
    for _ in range(30):
        slow = np.repeat(generator.normal(size=N_POINT // 30 + 1), 30)[:N_POINT]
        noise = generator.normal(size=N_POINT) + slow
        factors.append(time_averaging_factor(TIME_D, residual(noise), trend()))
    # Means of m points, m = 5 to 15: (1/m + 1 less what straddles a step) against 2/m.
    m = np.arange(5, 16)
    expected = np.mean(np.sqrt((1 / m + 1 - m / 90) / (2 / m)))
    assert abs(np.mean(factors) - expected) < 0.1 * expected


def test_a_night_too_short_to_tell_has_a_factor_of_one():
    one = np.ones((4, 1)) / 2
    assert time_averaging_factor(TIME_D[:4], np.array([1.0, -1, 1, -1]), one) == 1
    assert time_averaging_factor(TIME_D[:1], np.array([0.0]), one[:1]) == 1


def test_the_robust_scatter_ignores_outliers():
    values = np.random.default_rng(4).normal(scale=0.01, size=2000)
    values[::100] += 5
    assert abs(robust_scatter(values) - 0.01) < 0.0006
