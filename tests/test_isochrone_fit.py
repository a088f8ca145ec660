"""Isochrone fits find what a synthetic cluster was made with; the likelihood is the naive one."""

from dataclasses import replace

import numpy as np
import pytest

from starmuster.analysis.cmd_isochrones import LITTLE_GAIN
from starmuster.analysis.extinction import find_law
from starmuster.analysis.isochrone_cloud import PAIRS, Cloud, Points, cloud
from starmuster.analysis.isochrone_fit import by_hand, fit_least_squares, fit_posterior
from starmuster.analysis.isochrone_likelihood import (
    FLOOR_COLOUR,
    FLOOR_MAG,
    NOBODY,
    Mixture,
    Stars,
    star_likelihood,
)
from starmuster.analysis.isochrone_parameters import (
    START,
    Prior,
    distance_modulus,
    distance_pc,
    log_prior,
    parse_prior,
)
from starmuster.analysis.isochrone_problem import Problem
from starmuster.analysis.isochrones import Grid, Isochrone
from starmuster.errors import FitError, UsageError
from starmuster.ingest.synthetic_cluster import ClusterTruth, synthetic_cluster
from starmuster.ingest.synthetic_isochrones import sketched

LAW = find_law("F99", 3.1)
TRUTH = ClusterTruth(
    n_star=500,
    dm_mag=14.3,
    a_v_mag=0.15,
    faintest_mag=21.3,
    coefficients=tuple(LAW.coefficient("Pan-STARRS", band) for band in "gri"),
)


def one_age() -> Grid:
    curve = sketched()
    columns = np.column_stack([curve.mass_msun, curve.mag[:, 0], curve.mag[:, 2], curve.mag[:, 1]])
    return Grid(
        "MIST 1.2 synthetic",
        True,
        "Pan-STARRS",
        0.4,
        ("g", "i", "r"),
        curve.eep.astype(int),
        curve.phase.astype(int),
        {(12.0, -1.35): columns},
    )


def observed(truth: ClusterTruth = TRUTH, *, seed: int, limit: float = 20.5) -> Stars:
    """Stars in g-i and r with errors as of a night, complete to a magnitude as measured."""
    curve = sketched()
    made = synthetic_cluster(curve.mass_msun, curve.phase, curve.mag, truth, seed=seed)
    err = 0.008 + 0.05 * 10 ** (0.4 * (made.mag - 20.5))
    g, r, i = (made.mag + err * np.random.default_rng(seed).standard_normal(err.shape)).T
    seen = r < limit
    return Stars(
        (g - i)[seen],
        r[seen],
        np.hypot(err[:, 0], err[:, 2])[seen],
        err[seen, 1],
        np.zeros(int(seen.sum())),
    )


@pytest.fixture(scope="module")
def cluster() -> Stars:
    return observed(seed=5)


def problem(stars: Stars, *free: str, **changes) -> Problem:
    values = START | {
        "age": 12.0,
        "feh": -1.35,
        "dm": 14.0,
        "colour_offset": 0.0,
        "mag_offset": 0.0,
    }
    free = free or ("dm", "av", "binaries", "field", "jitter")
    return Problem(stars, one_age(), LAW, values | changes, free)


def test_the_likelihood_is_the_naive_sum_over_all_points():
    rng = np.random.default_rng(3)
    n_star, n_point = 40, 600
    stars = Stars(
        rng.uniform(0, 1, n_star),
        rng.uniform(15, 18, n_star),
        10 ** rng.uniform(-2.3, -1, n_star),
        10 ** rng.uniform(-2.3, -1, n_star),
        rng.uniform(-1e-4, 1e-4, n_star),
    )

    def some() -> Points:
        weight = rng.uniform(0, 1, n_point)
        mag = np.sort(rng.uniform(0, 5, n_point))
        return Points(rng.uniform(-0.2, 1.2, n_point), mag, weight / weight.sum())

    model, mixture = Cloud(some(), (some(), some(), some())), Mixture(0.3, 0.2, 0.01)
    density, is_member = star_likelihood(stars, model, (0.1, 13.5), mixture)
    levels = []
    for i in range(n_star):
        matrix = np.array(
            [
                [stars.colour_err[i] ** 2 + FLOOR_COLOUR**2 + 0.01**2, stars.covariance[i]],
                [stars.covariance[i], stars.mag_err[i] ** 2 + FLOOR_MAG**2 + 0.01**2],
            ]
        )
        blur = np.sqrt(matrix[0, 0] * matrix[1, 1])
        levels.append(next(n for n, (_, least) in enumerate(PAIRS) if blur >= least))
        joint, alone = 0.0, 0.0
        for points, share in ((model.single, 0.7), (model.pairs[levels[-1]], 0.3)):
            off = np.array(
                [stars.colour[i] - 0.1 - points.colour, stars.mag[i] - 13.5 - points.mag]
            )
            chi2 = np.einsum("in,ij,jn->n", off, np.linalg.inv(matrix), off)
            norm = 2 * np.pi * np.sqrt(np.linalg.det(matrix))
            at_mag = np.exp(-(off[1] ** 2) / 2 / matrix[1, 1]) / np.sqrt(2 * np.pi * matrix[1, 1])
            joint += share * np.sum(points.weight * np.exp(-chi2 / 2)) / norm
            alone += share * np.sum(points.weight * at_mag)
        member = 0.8 * joint / (alone + NOBODY)
        total = member + 0.2 / stars.colour_range
        # the sums leave out what lies beyond five sigmas
        assert density[i] == pytest.approx(total, rel=3e-3, abs=1e-4)
        assert is_member[i] == pytest.approx(member / total, abs=3e-3)
    assert set(levels) == {0, 1, 2}


def test_pairs_are_no_fainter_than_their_primary_and_at_most_twice_as_bright():
    curve = sketched()
    kept = curve.phase == 0
    flat = Isochrone(
        12.0,
        -1.35,
        0.4,
        curve.eep[kept].astype(int),
        curve.mass_msun[kept],
        curve.phase[kept].astype(int),
        *(curve.mag[kept, i] for i in (0, 2, 1)),
    )
    model = cloud(flat, max_phase=2)
    assert model.single.weight.sum() == pytest.approx(1)
    # of the main sequence, the reddest single star at a magnitude bounds the pairs' brightness
    faintest, brightest = model.single.mag.max(), model.single.mag.min()
    for pair in model.pairs:
        assert pair.weight.sum() == pytest.approx(1)
        assert pair.mag.max() <= faintest + 1e-9
        assert brightest - 0.7526 - 1e-3 <= pair.mag.min() < brightest - 0.5


def test_the_posterior_holds_the_distance_and_reddening_of_a_cluster(cluster):
    fit = fit_posterior(problem(cluster), n_step=90, seed=5)
    assert abs(fit.values["dm"] - TRUTH.dm_mag) < min(0.05, 4 * fit.errors["dm"])
    assert abs(fit.values["av"] - TRUTH.a_v_mag) < min(0.03, 4 * fit.errors["av"])
    assert 0.004 < fit.errors["dm"] < 0.05
    assert abs(fit.values["field"] - TRUTH.field_fraction) < 0.1
    assert len(fit.is_member) == len(fit.problem.stars.mag)


def test_members_and_field_stars_are_told_apart():
    truth = replace(TRUTH, binary_fraction=0.0, field_fraction=0.0)
    stars = observed(truth, seed=2)
    n_member = len(stars.mag)
    aside = Stars(
        np.append(stars.colour, [-1.5, 3.0]),
        np.append(stars.mag, [17.0, 18.5]),
        np.append(stars.colour_err, [0.01, 0.01]),
        np.append(stars.mag_err, [0.01, 0.01]),
        np.zeros(n_member + 2),
    )
    found = by_hand(problem(aside, dm=14.3, av=0.15))
    _, is_member = found.problem.of_stars(found.values)
    assert is_member[-2:].max() < 0.01
    assert np.median(is_member[:n_member]) > 0.9


def test_least_squares_comes_near_from_afar(cluster):
    fit = fit_least_squares(problem(cluster, dm=10.0, av=0.0))
    assert fit.method == "least squares"
    # pairs pull it to the bright side
    assert fit.values["dm"] == pytest.approx(TRUTH.dm_mag, abs=0.2)
    assert fit.values["av"] == pytest.approx(TRUTH.a_v_mag, abs=0.1)


def test_instrumental_zero_points_are_floated_at_a_held_distance(cluster):
    stars = cluster
    moved = Stars(
        stars.colour - 0.7, stars.mag - 21.0, stars.colour_err, stars.mag_err, stars.covariance
    )
    free = ("colour_offset", "mag_offset", "binaries", "field", "jitter")
    fit = fit_least_squares(problem(moved, *free, dm=14.3, av=0.15))
    assert fit.values["colour_offset"] == pytest.approx(0.7, abs=0.06)
    assert fit.values["mag_offset"] == pytest.approx(21.0, abs=0.2)
    assert (fit.values["dm"], fit.values["av"]) == (14.3, 0.15)


def test_what_cannot_be_told_apart_is_refused():
    with pytest.raises(UsageError, match="mag_offset and dm shift the isochrone alike"):
        fit_least_squares(problem(observed(seed=1), "dm", "mag_offset"))


def test_too_few_stars_are_refused():
    stars = observed(seed=1)
    few = Stars(*(getattr(stars, name)[:9] for name in Stars.__slots__))
    with pytest.raises(FitError, match="9 stars with both bands"):
        fit_least_squares(problem(few))


def test_field_stars_alone_gain_nothing_from_an_isochrone(cluster):
    truth = replace(TRUTH, field_fraction=0.98)
    fit = fit_least_squares(problem(observed(truth, seed=4)), seed=1)
    assert fit.gain_per_star < LITTLE_GAIN
    assert by_hand(problem(cluster)).gain_per_star is None
    assert fit_least_squares(problem(cluster, "av", dm=14.3)).gain_per_star > 2 * LITTLE_GAIN


def test_priors_are_read_and_are_densities_of_what_they_name():
    normal, even = parse_prior("distance=7100,200"), parse_prior("av=0:0.3")
    assert (normal.parameter, normal.mean, normal.sigma) == ("dm", 7100, 200)
    assert (even.low, even.high, even.mean) == (0, 0.3, None)
    # a density of the distance is one of the modulus times what a modulus is worth in parsecs
    one, other = distance_modulus(7100), distance_modulus(7300)
    expected = -0.5 + np.log(7300 / 7100)
    assert normal.log_density(other) - normal.log_density(one) == pytest.approx(expected)
    assert even.log_density(0.4) == -np.inf
    assert log_prior({"av": -0.1}, ()) == -np.inf
    assert distance_pc(distance_modulus(812.0)) == pytest.approx(812.0)


@pytest.mark.parametrize("text", ["av", "av=1", "mass=1,2", "av=0.3:0", "av=0.1,-1", "av=a:b"])
def test_a_prior_that_is_none_is_refused(text):
    with pytest.raises(UsageError, match="expected NAME=MEAN,SIGMA or NAME=LOW:HIGH"):
        parse_prior(text)


def test_a_prior_pulls_the_posterior(cluster):
    stars = cluster
    problem_ = problem(stars, "dm", "av")
    here = problem_.log_posterior(np.array([14.3, 0.15]))
    problem_.priors = (Prior("av", -np.inf, np.inf, 0.15, 0.01),)
    assert problem_.log_posterior(np.array([14.3, 0.15])) == pytest.approx(here)
    assert problem_.log_posterior(np.array([14.3, 0.16])) == pytest.approx(
        problem(stars, "dm", "av").log_posterior(np.array([14.3, 0.16])) - 0.5
    )
