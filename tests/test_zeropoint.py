"""Zero points and shared terms against what was injected."""

import numpy as np
import polars as pl
import pytest

from starmuster.errors import CalibrationError
from starmuster.transforms.zeropoint import Solution, Terms, solve_with_terms, solve_zero_points

CLOUD_MAG = 0.36
COLOUR_TERM = 0.05
GRADIENT_MAG = 0.03  # from the centre to the edge in x
PIVOT = 0.7
CATALOGUE_ERR_MAG, INTRINSIC_MAG = 0.01, 0.015


def sky(
    seed: int,
    *,
    zero_points: tuple[float, ...] = (21.5, 21.5 - CLOUD_MAG, 21.48),
    n_star: int = 400,
    wrong_share: float = 0.0,
) -> pl.DataFrame:
    """Stars of known magnitude seen on frames of known zero point, with photon noise."""
    rng = np.random.default_rng(seed)
    true_mag = rng.uniform(11, 16, n_star)
    colour = rng.normal(PIVOT, 0.35, n_star)
    u, v = rng.uniform(-1, 1, (2, n_star))
    own = rng.normal(0, INTRINSIC_MAG, n_star)
    catalogue = true_mag + rng.normal(0, CATALOGUE_ERR_MAG, n_star)
    catalogue += np.where(rng.random(n_star) < wrong_share, rng.uniform(0.3, 2, n_star), 0)
    frames = []
    for frame_id, zero_point in enumerate(zero_points, start=1):
        system = zero_point + COLOUR_TERM * (colour - PIVOT) + GRADIENT_MAG * u
        mag_err = 0.003 + 0.03 * 10 ** (0.3 * (true_mag - 16))
        mag = true_mag + own - system + rng.normal(0, mag_err)
        frames.append(
            pl.DataFrame(
                {
                    "frame_id": frame_id,
                    "source_id": np.arange(n_star),
                    "mag": mag,
                    "mag_err": mag_err,
                    "reference_mag": catalogue,
                    "reference_err_mag": CATALOGUE_ERR_MAG,
                    "colour_mag": colour,
                    "u": u,
                    "v": v,
                }
            )
        )
    return pl.concat(frames)


def zero_points(solution: Solution, pivot: float | None = None) -> np.ndarray:
    """Zero points brought to the pivot colour of the truth."""
    pivot = solution.terms.colour_pivot_mag or PIVOT
    shift = (solution.terms.colour_term or 0) * (PIVOT - pivot)
    return solution.frames["zero_point_mag"].to_numpy() + shift


def test_a_cloud_a_colour_term_and_a_gradient_come_out_within_5_mmag():
    solution = solve_zero_points(sky(1))
    found = zero_points(solution)
    assert found[0] - found[1] == pytest.approx(CLOUD_MAG, abs=0.005)
    assert found == pytest.approx([21.5, 21.5 - CLOUD_MAG, 21.48], abs=0.005)
    assert solution.terms.colour_term == pytest.approx(COLOUR_TERM, abs=0.005)
    assert solution.terms.position_mag == pytest.approx((GRADIENT_MAG, 0.0), abs=0.005)
    assert solution.intrinsic_scatter_mag == pytest.approx(INTRINSIC_MAG, abs=0.003)


def test_a_tenth_of_wrong_matches_does_not_move_them():
    found = zero_points(solution := solve_zero_points(sky(2, wrong_share=0.1)))
    assert found == pytest.approx([21.5, 21.5 - CLOUD_MAG, 21.48], abs=0.008)
    assert solution.terms.colour_term == pytest.approx(COLOUR_TERM, abs=0.008)


def test_errors_are_those_of_repeated_skies():
    pulls = {"zero point": [], "colour": [], "gradient": []}
    for seed in range(40):
        solution = solve_zero_points(sky(100 + seed, zero_points=(21.5, 21.2), n_star=80))
        terms = solution.terms
        err = solution.frames["zero_point_err_mag"].to_numpy()
        pulls["zero point"] += list((zero_points(solution) - [21.5, 21.2])[:1] / err[:1])
        pulls["colour"].append((terms.colour_term - COLOUR_TERM) / terms.colour_term_err)
        pulls["gradient"].append((terms.position_mag[0] - GRADIENT_MAG) / terms.position_err_mag[0])
    for name, values in pulls.items():
        assert 0.7 < np.std(values) < 1.35, name  # 3 sigma of a width from 40 skies
        assert abs(np.mean(values)) < 0.5, name


def test_with_its_terms_known_a_frame_of_few_stars_has_a_good_zero_point():
    terms = Terms(PIVOT, 0.35, COLOUR_TERM, 0.001, (GRADIENT_MAG, 0.0), (0.001, 0.001))
    solution = solve_with_terms(sky(3, zero_points=(20.9,), n_star=8), terms)
    (row,) = solution.frames.to_dicts()
    assert row["n_star"] == 8
    assert abs(row["zero_point_mag"] - 20.9) < 3.5 * row["zero_point_err_mag"] < 0.05
    assert solution.terms == terms


def test_with_few_stars_no_term_is_fitted():
    solution = solve_zero_points(sky(4, zero_points=(21.5,), n_star=7))
    assert solution.terms == Terms()
    assert solution.frames["zero_point_mag"][0] == pytest.approx(21.5, abs=0.05)


def test_stars_of_one_colour_give_no_colour_term():
    points = sky(5).with_columns(colour_mag=pl.lit(PIVOT))
    assert solve_zero_points(points).terms.colour_term is None


def test_a_cluster_whose_stars_crowd_at_one_colour_has_a_colour_term():
    """Its turn-off holds most of the bright stars; giants and field stars tell the term."""
    points = sky(8)
    off = (points["colour_mag"] - PIVOT).to_numpy() * np.where(points["source_id"] % 4 > 0, 0.95, 0)
    change = pl.Series(COLOUR_TERM * off)  # what the instrument would have seen of the bluer star
    points = points.with_columns(
        colour_mag=points["colour_mag"] - off, reference_mag=points["reference_mag"] - change
    )
    middle = points.filter(pl.col("source_id") % 4 > 0)["colour_mag"]
    assert middle.std() < 0.02
    terms = solve_zero_points(points).terms
    assert terms.colour_term is not None
    assert terms.colour_term_err is not None
    assert abs(terms.colour_term - COLOUR_TERM) < 4 * terms.colour_term_err < 0.03


def test_a_curved_field_comes_out_with_degree_two():
    bend = 0.04 * pl.col("v") ** 2
    solution = solve_zero_points(sky(6).with_columns(pl.col("mag") - bend), position_degree=2)
    assert solution.terms.position_mag == pytest.approx((0.03, 0, 0, 0, 0.04), abs=0.007)


def test_frames_without_stars_of_the_catalogue_are_refused_with_the_next_step():
    with pytest.raises(CalibrationError, match="Import a deeper catalogue"):
        solve_zero_points(sky(7, n_star=4))


def test_unknown_errors_and_colours_do_no_harm():
    points = sky(8).with_columns(
        mag_err=pl.lit(None, pl.Float64),
        reference_err_mag=pl.lit(None, pl.Float64),
        colour_mag=pl.when(pl.col("source_id") % 4 > 0).then("colour_mag"),
    )
    found = zero_points(solve_zero_points(points))
    assert found[0] - found[1] == pytest.approx(CLOUD_MAG, abs=0.01)
