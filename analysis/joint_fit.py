"""One fit to all stored transits of a planet: a common orbit, a depth a band, times and baselines.

Least squares in days from the predicted mid-times. Each transit has its own linear baseline, solved
inside the fit (variable projection: Golub & Pereyra 1973), so that none is taken out before it.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from ..errors import FitError
from .baselines import covariate_columns, design
from .joint_curves import TransitCurve
from .joint_model import JointModel
from .joint_results import JointFit, State, finished, kept_residual
from .red_noise import robust_scatter

Array = NDArray[np.float64]

BASELINES = ("constant", "time", "airmass", "time + airmass", "time + time^2")
OUTLIER_SIGMA = 4.0
N_ROUND = 5
N_STEP = 100
N_START = 21


def fit_jointly(model: JointModel) -> JointFit:
    """Fit all transits of a model together.

    Baselines are chosen by BIC, a transit at a time; outliers beyond 4 robust sigma are left out,
    any may come back; errors are scaled to the residuals of their own transit.

    Raises
    ------
    FitError
        More parameters than points.
    """
    bases = [_bases(curve) for curve in model.curves]
    state = State(
        kept=[np.ones(len(curve.flux), dtype=bool) for curve in model.curves],
        scale=[1.0] * len(model.curves),
        basis=[known["constant"] for known in bases],
        baseline=["constant"] * len(model.curves),
        theta=_start(model, bases),
    )
    if sum(len(curve.flux) for curve in model.curves) <= len(model.names) + len(model.curves):
        raise FitError(
            f"{model.planet.planet_name}: more parameters ({len(model.names)}) than points; "
            f"fit fewer bands, or the times as one ephemeris."
        )
    _judge(model, state, bases)
    for _ in range(N_ROUND):
        _solve(model, state)
        before = [mask.copy() for mask in state.kept], list(state.baseline)
        _judge(model, state, bases)
        if before[1] == state.baseline and all(
            np.array_equal(old, new) for old, new in zip(before[0], state.kept, strict=True)
        ):
            break
    _solve(model, state)
    return finished(model, state)


def _bases(curve: TransitCurve) -> dict[str, Array]:
    """Terms of every baseline that can be tried."""
    columns = covariate_columns(curve.time_bjd_tdb - curve.predicted_bjd_tdb, curve.covariates)
    designs = {name: design(name, columns) for name in BASELINES}
    return {name: terms for name, terms in designs.items() if terms is not None}


def _start(model: JointModel, bases: list[dict[str, Array]]) -> Array:
    """The priors' centre, with the mid-times that fit best with the expected depth.

    Each transit has its richest baseline here: a slope taken for a transit would pull it away.
    """
    richest = [max(known.values(), key=lambda terms: terms.shape[1]) for known in bases]
    theta = model.start.copy()
    places = [i for i, name in enumerate(model.names) if name.startswith(("offset", "slope"))]
    for place in places:
        tries = np.linspace(model.low[place], model.high[place], N_START + 2)[1:-1]
        curves = (
            [int(model.names[place].split()[1])]
            if model.time_model == "free"
            else range(len(model.curves))
        )

        def chi2(value: float, place: int = place, curves=curves) -> float:
            trial = theta.copy()
            trial[place] = value
            return sum(float(np.sum(_project(model, trial, i, richest[i])[1] ** 2)) for i in curves)

        if model.time_model == "free" or model.names[place] == "offset":
            theta[place] = min(tries.tolist(), key=chi2)
    return theta


def _project(model: JointModel, theta: Array, i: int, basis: Array) -> tuple[Array, Array]:
    """Best coefficients of the i-th baseline, and the residuals over the quoted errors."""
    curve = model.curves[i]
    weighted = basis * (model.flux(theta, i) / curve.err)[:, None]
    target = curve.flux / curve.err
    coefficient = np.asarray(np.linalg.lstsq(weighted, target)[0], dtype=np.float64)
    return coefficient, target - weighted @ coefficient


def _solve(model: JointModel, state: State) -> None:
    has_prior = np.isfinite(model.width)

    def residuals(scaled: Array) -> Array:
        trial = np.clip(scaled * model.step, model.low, model.high)
        parts = [kept_residual(model, trial, i, state) for i in range(len(model.curves))]
        return np.concatenate([*parts, ((trial - model.centre) / model.width)[has_prior]])

    inside = 1e-6 * (model.high - model.low)
    begin = np.clip(state.theta, model.low + inside, model.high - inside) / model.step
    result = least_squares(
        residuals,
        begin,
        bounds=(model.low / model.step, model.high / model.step),
        diff_step=1e-5,
        xtol=1e-7,
        ftol=1e-7,
        max_nfev=N_STEP,
    )
    state.theta = np.clip(result.x * model.step, model.low, model.high)
    state.is_settled = bool(result.success)


def _judge(model: JointModel, state: State, bases: list[dict[str, Array]]) -> None:
    """Choose baselines, outliers and scales anew, from the transits as they are fitted now."""
    for i, curve in enumerate(model.curves):
        flux = model.flux(state.theta, i)
        fits: dict[str, tuple[float, Array]] = {}
        for name, basis in bases[i].items():
            weighted = basis * (flux / curve.err)[:, None]
            target = curve.flux / curve.err
            kept = state.kept[i]
            coefficient = np.linalg.lstsq(weighted[kept], target[kept])[0]
            residual = (target - weighted @ coefficient) / state.scale[i]
            bic = float(np.sum(residual[kept] ** 2)) + basis.shape[1] * math.log(kept.sum())
            fits[name] = bic, residual
        name = min(fits, key=lambda each: fits[each][0])
        residual = fits[name][1]
        state.baseline[i], state.basis[i] = name, bases[i][name]
        state.kept[i] = np.abs(residual) <= OUTLIER_SIGMA * max(robust_scatter(residual), 1e-12)
        # the share of the common parameters that this transit determines is not known apart
        n_free = bases[i][name].shape[1] + len(model.names) / len(model.curves)
        n_degree = max(float(state.kept[i].sum()) - n_free, 1.0)
        in_quoted = residual[state.kept[i]] * state.scale[i]
        state.scale[i] = max(math.sqrt(float(np.sum(in_quoted**2)) / n_degree), 1e-12)
