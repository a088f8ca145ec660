"""The shipped table of limb darkening against the file it came from, and the priors made of it."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from starmuster.analysis import limb_darkening_fit as fitting
from starmuster.analysis.limb_darkening import Q1_PRIOR, Q2_PRIOR, quadratic_coefficients
from starmuster.analysis.limb_darkening_prior import _grids, limb_prior
from starmuster.errors import UsageError


def test_a_quadratic_law_comes_back_from_its_own_four_parameters():
    # 1 - u1 (1 - mu) - u2 (1 - mu)^2 is a four-parameter law with a2 = u1 + 2 u2, a4 = -u2
    u1, u2 = 0.4, 0.25
    u, rms = fitting.fit_quadratic(np.array([[0.0, u1 + 2 * u2, 0.0, -u2]]))
    assert u[0] == pytest.approx([u1, u2], abs=1e-10)
    assert rms[0] < 1e-10


def test_a_file_that_is_not_the_table_is_refused(tmp_path):
    path = tmp_path / "other.tsv"
    path.write_text("logg\tTeff\ta1\n4.5\t5000\t0.1\n")
    with pytest.raises(UsageError, match="no column a2"):
        fitting.read_published(path)


def test_a_star_between_models_lies_between_their_coefficients():
    prior = limb_prior("r", 6050, 4.25)
    total = np.sqrt(prior.q1[0])
    corners = _grids()["r"]([[t, g] for t in (6000, 6100) for g in (4.0, 4.5)])
    assert corners.sum(axis=1).min() <= total <= corners.sum(axis=1).max()
    u1, _ = quadratic_coefficients(prior.q1[0], prior.q2[0])
    assert corners[:, 0].min() <= u1 <= corners[:, 0].max()
    assert "Claret" in prior.source
    assert 0.1 <= prior.q1[1] < Q1_PRIOR[1]


def test_cooler_stars_and_bluer_bands_are_darker_at_the_limb():
    darkening = [limb_prior(band, 5800, 4.5).q1[0] for band in "BVRI"]
    assert darkening == sorted(darkening, reverse=True)
    assert limb_prior("V", 5200, 4.5).q1[0] > limb_prior("V", 7000, 4.5).q1[0]


@pytest.mark.parametrize(
    ("star", "reason"),
    [
        (("clear", 6000, 4.4), "no models of band clear"),
        (("C", 6000, 4.4), "no models of band C"),  # CoRoT's in the published table
        ((None, 6000, 4.4), "no band"),
        (("V", None, 4.4), "unknown"),
        (("V", 4500, 4.4), "no models of 4500 K"),
        (("V", 6000, 2.0), "log g 2.00"),
        (("V", 10000, 3.0), "10000 K"),  # two numbers do not describe that limb
        (("V", 6000, 4.4, -1.5), "metallicity -1.50"),
    ],
)
def test_what_the_table_does_not_know_has_a_broad_prior_that_says_why(star, reason):
    prior = limb_prior(*star)
    assert (prior.q1, prior.q2) == (Q1_PRIOR, Q2_PRIOR)
    assert reason in prior.source


@pytest.mark.real
def test_the_shipped_table_is_what_the_published_file_gives(real_data, tmp_path):
    published = real_data / "limb_darkening" / "claret2013_phoenix_nonlinear.tsv"
    made = tmp_path / "made.csv"
    fitting.write(published, made)
    assert made.read_bytes() == Path(fitting.__file__).with_name("limb_darkening.csv").read_bytes()
    table = pl.read_csv(made, comment_prefix="#")
    assert table.height == 216
    rows = fitting.read_published(published).filter(pl.col("band") == "V")
    _, rms = fitting.fit_quadratic(rows.select("a1", "a2", "a3", "a4").to_numpy())
    near_dwarfs = (rows["logg"] >= 4.0).to_numpy() & (rows["teff_k"] <= 7000).to_numpy()
    assert rms[near_dwarfs].max() < 0.005
