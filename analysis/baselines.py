"""What the sky and the telescope do to a light curve: products of a few terms, fitted with it."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..errors import UsageError

Array = NDArray[np.float64]

SIMPLE = ("constant", "time", "airmass")  # always fitted in full
COVARIATES = ("airmass", "x_pix", "y_pix", "frame_fwhm_pix", "sky_adu_per_pix")
MAX_TERMS = 3
FLIP = "pier side"
MIN_SIDE = 5  # points on either side of the pier that an offset needs


def candidates(columns: Sequence[str] = COVARIATES, max_terms: int = MAX_TERMS) -> tuple[str, ...]:
    """Name every baseline of at most so many terms: time, time^2 and the columns given.

    time^2 never stands without time; the constant is first.
    """
    terms = ("time", "time^2", *columns)
    return (
        "constant",
        *(
            " + ".join(chosen)
            for n in range(1, max_terms + 1)
            for chosen in combinations(terms, n)
            if "time^2" not in chosen or "time" in chosen
        ),
    )


def flip_offset(side: Sequence[str | None]) -> Array | None:
    """Return the step of a meridian flip, mean 0, scatter 1; None without one to be fitted.

    Parameters
    ----------
    side
        Side of the pier of each point, shape (n_point,). Points without one are taken for the
        side that most have.
    """
    counts = pl.Series(side, dtype=pl.String).drop_nulls().value_counts(sort=True)
    if counts.height != 2 or counts["count"][1] < MIN_SIDE:
        return None
    step = np.array([float(each == counts[counts.columns[0]][1]) for each in side])
    return (step - step.mean()) / step.std()


def design(name: str, columns: Mapping[str, Array]) -> Array | None:
    """Return the terms of a baseline, shape (n_point, n_term), the first one 1.

    Parameters
    ----------
    name
        "constant", or terms joined by "+": names of columns, each alone or with ^2.
    columns
        Covariates by name, shape (n_point,); nan where not measured.

    Returns
    -------
    Terms with mean 0 and scatter 1, so that their coefficients are relative fluxes; None if a
    column is missing, has gaps or does not vary, so that this baseline cannot be tried.

    Raises
    ------
    UsageError
        The name cannot be read.
    """
    n_point = len(next(iter(columns.values())))
    terms = [np.ones(n_point)]
    for term in () if name.strip() == "constant" else name.split("+"):
        column, power, exponent = term.strip().partition("^")
        if not column or (power and exponent not in {"2", "3"}):
            raise UsageError(
                f"baseline {name!r}: cannot read the term {term.strip()!r}; expected 'constant' or "
                "columns joined by '+', each alone or with ^2 or ^3, as in 'time + airmass'."
            )
        values = columns.get(column)
        if values is None or not np.isfinite(values).all() or np.ptp(values) <= 0:
            return None
        raised = ((values - values.mean()) / values.std()) ** int(exponent or 1)
        terms.append((raised - raised.mean()) / raised.std())
    return np.column_stack(terms)


def covariate_columns(
    time_d: Array, covariates: Mapping[str, object] | pl.DataFrame | None
) -> dict[str, Array]:
    """Gather covariates as float arrays beside `time`; null becomes nan."""
    frame = pl.DataFrame({} if covariates is None else covariates)
    columns = {name: frame[name].cast(pl.Float64).to_numpy() for name in frame.columns}
    if wrong := [name for name, values in columns.items() if len(values) != len(time_d)]:
        raise UsageError(
            f"covariate {wrong[0]}: {len(columns[wrong[0]])} values for {len(time_d)} points; "
            "expected one a point."
        )
    return {"time": time_d} | {
        name: np.array(v, dtype=float) for name, v in columns.items() if name != "time"
    }
