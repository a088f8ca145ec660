"""Extinction, of light and of colour, solved with zero points, terms and stars, against truth."""

import numpy as np
import polars as pl
import pytest

from starmuster.transforms.zero_point_system import System, solve
from starmuster.transforms.zeropoint import Solution, solve_with_terms, solve_zero_points

LEVEL_MAG, EXTINCTION_MAG, COLOUR_TERM, COLOUR_EXTINCTION = 22.0, 0.15, 0.05, -0.03
OWN_MAG, CATALOGUE_ERR_MAG, INTRINSIC_MAG = 0.008, 0.01, 0.015
PIVOT = 0.7
N_FIELD_STAR = 40


def season(
    seed: int,
    *,
    n_night: int = 2,
    n_frame: int = 24,
    airmasses: tuple[float, float] = (1.0, 2.0),
    cloudy_share: float = 0.2,
    star_noise: float = 0.01,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Points and air of nights on two fields, one of which is always seen lower than the other."""
    rng = np.random.default_rng(seed)
    n_star = 2 * N_FIELD_STAR
    mag = rng.uniform(11, 15, n_star)
    colour = rng.normal(PIVOT, 0.35, n_star)
    own = rng.normal(0, INTRINSIC_MAG, n_star)
    catalogue = mag + rng.normal(0, CATALOGUE_ERR_MAG, n_star)
    u, v = rng.uniform(-1, 1, (2, n_star))
    level = LEVEL_MAG + 0.05 * np.arange(n_night)
    low, high = airmasses
    points, air = [], []
    for i in range(n_night * n_frame):
        night, field = i // n_frame, i % 2
        airmass = low + (high - low) * (0.5 * field + 0.5 * rng.random())
        cloud = rng.exponential(0.3) if rng.random() < cloudy_share else 0.0
        zero_point = level[night] - EXTINCTION_MAG * airmass + rng.normal(0, OWN_MAG) - cloud
        stars = slice(field * N_FIELD_STAR, (field + 1) * N_FIELD_STAR)
        term = COLOUR_TERM - COLOUR_EXTINCTION * airmass
        mag_err = np.full(N_FIELD_STAR, star_noise)
        seen = mag[stars] + own[stars] - zero_point - term * (colour[stars] - PIVOT)
        points.append(
            pl.DataFrame(
                {
                    "frame_id": i + 1,
                    "source_id": np.arange(n_star)[stars],
                    "mag": seen + rng.normal(0, mag_err),
                    "mag_err": mag_err,
                    "reference_mag": catalogue[stars],
                    "reference_err_mag": CATALOGUE_ERR_MAG,
                    "colour_mag": colour[stars],
                    "u": u[stars],
                    "v": v[stars],
                }
            )
        )
        air.append({"frame_id": i + 1, "airmass": airmass, "level": night})
    return pl.concat(points), pl.DataFrame(air)


def solved(seed: int, **sky) -> Solution:
    points, air = season(seed, **sky)
    return solve_zero_points(points, air=air, position_degree=0)


def test_errors_of_extinctions_and_colour_term_are_those_of_repeated_skies():
    n_sky = 60
    pulls: dict[str, list[float]] = {"extinction": [], "colour extinction": [], "colour": []}
    for seed in range(n_sky):
        found = solved(seed)
        air, terms = found.extinction, found.terms
        pivot, steep = terms.colour_pivot_mag, COLOUR_EXTINCTION
        at_pivot = EXTINCTION_MAG + steep * (pivot - PIVOT)
        pulls["extinction"].append((air.extinction_mag - at_pivot) / air.extinction_err_mag)
        pulls["colour extinction"].append(
            (terms.colour_extinction - steep) / terms.colour_extinction_err
        )
        truth = COLOUR_TERM - steep * terms.airmass_pivot
        pulls["colour"].append((terms.colour_term - truth) / terms.colour_term_err)
    for name, values in pulls.items():
        assert abs(np.mean(values)) < 3 / np.sqrt(n_sky), name
        assert abs(np.std(values) - 1) < 3 / np.sqrt(2 * n_sky), name


def test_the_solution_is_that_of_dense_least_squares_over_the_same_rows():
    """An independent way to the same numbers: every equation a row, all unknowns at once."""
    rng = np.random.default_rng(3)
    n_frame, n_star, n_night = 14, 30, 2
    frame, star = (x.ravel() for x in np.indices((n_frame, n_star)))
    seen = rng.random(len(frame)) < 0.8
    frame, star = frame[seen], star[seen]
    system = System(
        frame=frame,
        star=star,
        offset=22 + rng.normal(0, 0.1, len(frame)),
        variance=rng.uniform(0.005, 0.03, len(frame)) ** 2,
        star_variance=rng.uniform(0.005, 0.02, n_star) ** 2,
        design=rng.normal(size=(len(frame), 3)),
        n_frame=n_frame,
        n_star=n_star,
    )
    night = np.arange(n_frame) % n_night
    system.huber = rng.uniform(0.5, 1, len(frame))
    system.star_huber = rng.uniform(0.5, 1, n_star)
    clear = np.arange(n_frame) != 4
    system.air_weight = np.where(clear, 0.008**-2.0, 0.0)
    nights = night[:, None] == np.arange(n_night)
    airmass = rng.uniform(1, 2, n_frame)
    system.air_design = np.column_stack([nights, -airmass])
    found = solve(system, 0.015)

    of_frame, of_star = np.eye(n_frame), np.eye(n_star)
    nothing = np.zeros
    rows = np.block(
        [
            [of_frame[frame], of_star[star], system.design, nothing((len(frame), n_night + 1))],
            [nothing((n_star, n_frame)), of_star, nothing((n_star, 3 + n_night + 1))],
            [of_frame, nothing((n_frame, n_star + 3)), -system.air_design],
        ]
    )
    weight = np.concatenate(
        [
            system.huber / system.variance,
            system.star_huber / (system.star_variance + 0.015**2),
            system.air_weight,
        ]
    )
    right = np.concatenate([system.offset, nothing(n_star + n_frame)])
    root = np.sqrt(weight)
    expected, *_ = np.linalg.lstsq(root[:, None] * rows, root * right, rcond=None)
    err = np.sqrt(np.diag(np.linalg.inv(rows.T @ (weight[:, None] * rows))))
    places = np.cumsum([n_frame, n_star, 3])
    for name, values in (
        ("value", (found.zero_point, found.terms, found.air)),
        ("error", (found.zero_point_err, found.terms_covariance, found.air_covariance)),
    ):
        dense = np.split(expected if name == "value" else err, places)
        for value, truth in zip(values, (dense[0], *dense[2:]), strict=True):
            given = np.sqrt(np.diag(value)) if value.ndim > 1 else value
            np.testing.assert_allclose(given, truth, rtol=1e-7, atol=1e-9, err_msg=name)


def test_the_offset_of_a_fields_stars_is_in_the_error_of_the_extinction():
    """Two fields at two airmasses: what their stars are off, their zero points are off."""
    found = solved(5, cloudy_share=0.0)
    n_clear = found.extinction.n_clear_frame
    alone = found.extinction.clear_scatter_mag / np.sqrt(n_clear) / 0.3  # of independent frames
    of_stars = np.hypot(CATALOGUE_ERR_MAG, INTRINSIC_MAG) * np.sqrt(2 / N_FIELD_STAR) / 0.5
    assert found.extinction.extinction_err_mag > 1.2 * alone
    assert found.extinction.extinction_err_mag < 2 * np.hypot(alone, of_stars)


def test_clouds_do_not_move_the_extinction_and_are_left_in_the_zero_points():
    points, air = season(7, cloudy_share=0.4, n_frame=40)
    found = solve_zero_points(points, air=air, position_degree=0)
    extinction, err = found.extinction.extinction_mag, found.extinction.extinction_err_mag
    pivot = found.terms.colour_pivot_mag
    assert abs(extinction - EXTINCTION_MAG - COLOUR_EXTINCTION * (pivot - PIVOT)) < 4 * err < 0.08
    assert 35 < found.extinction.n_clear_frame < 60  # of 80
    rows = found.frames.join(air, on="frame_id")
    clear = LEVEL_MAG + 0.05 * rows["level"] - EXTINCTION_MAG * rows["airmass"]
    assert (clear - rows["zero_point_mag"] > 0.1).sum() > 15


def test_the_extinction_of_colour_is_left_out_where_it_is_not_known_well_enough():
    assert solved(8, star_noise=0.06).terms.colour_extinction is None
    assert solved(8, airmasses=(1.0, 1.15)).terms.colour_extinction is None
    narrow = solved(8, airmasses=(1.0, 1.15))
    assert narrow.extinction.extinction_mag is None
    assert narrow.extinction.clear_airmass == pytest.approx(1.07, abs=0.06)
    assert narrow.terms.airmass_pivot is None


def test_zero_points_with_known_terms_follow_the_colour_over_the_airmass():
    """Red stars alone: a colour term that does not change with airmass would tilt them."""
    points, air = season(9, star_noise=0.005, cloudy_share=0.0, n_frame=40)
    terms = solve_zero_points(points, air=air, position_degree=0).terms
    red = points.filter(pl.col("colour_mag") > PIVOT + 0.2)
    found = solve_with_terms(red, terms, air=air).frames.join(air, on="frame_id")
    mean = LEVEL_MAG + 0.05 * found["level"] - EXTINCTION_MAG * found["airmass"]
    off = (found["zero_point_mag"] - mean).to_numpy()
    slope = np.polyfit(found["airmass"], off, 1)[0]
    assert slope == pytest.approx(-COLOUR_EXTINCTION * (terms.colour_pivot_mag - PIVOT), abs=0.012)
