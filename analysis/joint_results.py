"""What a settled joint fit says: errors, mid-times, the ephemeris."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from .joint_curves import TransitCurve
from .joint_model import JointModel
from .orbits import orbit_of
from .red_noise import time_averaging_factor

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FittedTransit:
    """What the joint fit says of one transit; errors scaled to its residuals and red noise."""

    curve: TransitCurve
    mid_bjd_tdb: float
    mid_err_d: float
    radius_ratio: float
    radius_ratio_err: float
    baseline: str
    model: Array
    baseline_flux: Array
    kept: Mask
    residual_scatter: float
    red_noise_factor: float
    error_scale: float


@dataclass(frozen=True, slots=True)
class JointFit:
    """A joint fit.

    Attributes
    ----------
    value, err
        Parameters of the model by name, and their 1-sigma errors.
    period_d, period_err_d, mid_bjd_tdb, mid_err_d, covariance_d2, epoch
        Ephemeris: of the fit itself where it has one, else the straight line through the mid-times
        with their full covariance. period_err_d is None for a given period, or one transit only.
    inclination_deg, inclination_err_deg
        What a_over_r and the impact parameter make of it; 90 is its limit.
    chi2_reduced
        With the errors as quoted.
    """

    model: JointModel
    value: Mapping[str, float]
    err: Mapping[str, float]
    transits: tuple[FittedTransit, ...]
    epoch: int
    period_d: float
    period_err_d: float | None
    mid_bjd_tdb: float
    mid_err_d: float
    covariance_d2: float | None
    inclination_deg: float
    inclination_err_deg: float
    chi2_reduced: float
    is_settled: bool

    @property
    def n_point(self) -> int:
        """Points fitted, without outliers."""
        return sum(int(transit.kept.sum()) for transit in self.transits)


@dataclass(slots=True)
class State:
    """What changes from round to round: points kept, errors, baselines; one item a transit."""

    kept: list[Mask]
    scale: list[float]
    basis: list[Array]
    baseline: list[str]
    theta: Array = field(default_factory=lambda: np.zeros(0))
    is_settled: bool = False


def kept_residual(model: JointModel, theta: Array, i: int, state: State) -> Array:
    """Residuals of the points kept, over their scaled errors, with the baseline fitted to them."""
    curve, kept = model.curves[i], state.kept[i]
    weighted = (state.basis[i] * (model.flux(theta, i) / curve.err)[:, None])[kept]
    target = (curve.flux / curve.err)[kept]
    coefficient = np.linalg.lstsq(weighted, target)[0]
    return (target - weighted @ coefficient) / state.scale[i]


def coefficient_of(model: JointModel, state: State, i: int) -> tuple[Array, Array]:
    curve, kept = model.curves[i], state.kept[i]
    flux = model.flux(state.theta, i)
    weighted = state.basis[i] * (flux / curve.err)[:, None]
    coefficient = np.linalg.lstsq(weighted[kept], (curve.flux / curve.err)[kept])[0]
    return np.asarray(coefficient, dtype=np.float64), flux


def finished(model: JointModel, state: State) -> JointFit:
    blocks = [_jacobian(model, state, i) for i in range(len(model.curves))]
    residuals = [kept_residual(model, state.theta, i, state) for i in range(len(model.curves))]
    betas = _red_noise(model, state, blocks, residuals)
    covariance = _covariance(model, blocks, betas)
    err = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    transits = tuple(_transit(model, state, i, betas[i], covariance) for i in range(len(betas)))
    quoted = [r * s for r, s in zip(residuals, state.scale, strict=True)]
    n_free = len(model.names) + sum(basis.shape[1] for basis in state.basis)
    n_degree = max(sum(len(r) for r in residuals) - n_free, 1)
    inclination = _inclination(model, state.theta, covariance)
    fit = JointFit(
        model=model,
        value=dict(zip(model.names, state.theta.tolist(), strict=True)),
        err=dict(zip(model.names, err[: len(model.names)].tolist(), strict=True)),
        transits=transits,
        epoch=0,
        period_d=model.period_d,
        period_err_d=None,
        mid_bjd_tdb=0.0,
        mid_err_d=0.0,
        covariance_d2=None,
        inclination_deg=inclination[0],
        inclination_err_deg=inclination[1],
        chi2_reduced=sum(float(r @ r) for r in quoted) / n_degree,
        is_settled=state.is_settled,
    )
    return _with_ephemeris(fit, covariance)


def _jacobian(model: JointModel, state: State, i: int) -> Array:
    """Derivatives of the kept points of a transit over their errors: by all parameters, then by the
    coefficients of its own baseline."""
    curve, kept, theta = model.curves[i], state.kept[i], state.theta
    coefficient, _ = coefficient_of(model, state, i)
    baseline = state.basis[i] @ coefficient
    columns = []
    for j, step in enumerate(1e-3 * model.step):
        high, low = theta.copy(), theta.copy()
        high[j], low[j] = min(theta[j] + step, model.high[j]), max(theta[j] - step, model.low[j])
        change = model.flux(high, i) - model.flux(low, i)
        columns.append(baseline * change / (high[j] - low[j]))
    own = state.basis[i] * model.flux(theta, i)[:, None]
    err = curve.err * state.scale[i]
    return (np.column_stack([*columns, own]) / err[:, None])[kept]


def _information(model: JointModel, blocks: list[Array], betas: list[float]) -> tuple[Array, Array]:
    """Inverse covariance of the data and of the priors, for parameters, then all baselines."""
    n_shared = len(model.names)
    n_own = [block.shape[1] - n_shared for block in blocks]
    size = n_shared + sum(n_own)
    data = np.zeros((size, size))
    begin = n_shared
    for block, n, beta in zip(blocks, n_own, betas, strict=True):
        places = np.r_[0:n_shared, begin : begin + n]
        data[np.ix_(places, places)] += block.T @ block / beta**2
        begin += n
    prior = np.zeros(size)
    prior[:n_shared] = np.where(np.isfinite(model.width), model.width, np.inf) ** -2.0
    return data, np.diag(prior)


def _covariance(model: JointModel, blocks: list[Array], betas: list[float]) -> Array:
    data, prior = _information(model, blocks, betas)
    inverse = np.linalg.pinv(data + prior, rcond=1e-14, hermitian=True)
    return np.asarray(inverse, dtype=np.float64)


def _red_noise(
    model: JointModel, state: State, blocks: list[Array], residuals: list[Array]
) -> list[float]:
    """Time-averaging beta of each transit, over lengths from 10 minutes to half an hour."""
    white = [1.0] * len(blocks)
    data, prior = _information(model, blocks, white)
    covariance = np.linalg.pinv(data + prior, rcond=1e-14, hermitian=True)
    value, vector = np.linalg.eigh(2 * covariance - covariance @ data @ covariance)
    root = vector * np.sqrt(np.maximum(value, 0))
    betas, n_shared = [], len(model.names)
    begin = n_shared
    for i, block in enumerate(blocks):
        n = block.shape[1] - n_shared
        places = np.r_[0:n_shared, begin : begin + n]
        begin += n
        time = model.curves[i].time_bjd_tdb[state.kept[i]]
        betas.append(time_averaging_factor(time, residuals[i], block @ root[places]))
    return betas


def _transit(
    model: JointModel, state: State, i: int, beta: float, covariance: Array
) -> FittedTransit:
    curve, kept = model.curves[i], state.kept[i]
    coefficient, flux = coefficient_of(model, state, i)
    baseline = state.basis[i] @ coefficient
    ratio_name = f"radius_ratio {curve.depth_band}"
    gradient = _mid_gradient(model, i, len(covariance))
    place = model.names.index(ratio_name)
    return FittedTransit(
        curve=curve,
        mid_bjd_tdb=curve.predicted_bjd_tdb + model.mid_offset_d(state.theta, i),
        mid_err_d=math.sqrt(max(float(gradient @ covariance @ gradient), 0.0)),
        radius_ratio=model.at(state.theta, ratio_name),
        radius_ratio_err=math.sqrt(max(float(covariance[place, place]), 0.0)),
        baseline=state.baseline[i],
        model=flux,
        baseline_flux=baseline,
        kept=kept,
        residual_scatter=float(np.std((curve.flux / baseline - flux)[kept])),
        red_noise_factor=beta,
        error_scale=state.scale[i],
    )


def _inclination(model: JointModel, theta: Array, covariance: Array) -> tuple[float, float]:
    """Inclination of the orbit and its error in degrees, to first order."""
    places = [model.names.index(name) for name in ("impact_parameter", "a_over_r")]

    def degrees(b: float, a_over_r: float) -> float:
        distance = orbit_of(model.planet, a_over_r, 0.0).distance_at_mid
        return math.degrees(math.acos(min(abs(b) / distance, 1.0)))

    b, a_over_r = (float(theta[place]) for place in places)
    step = 1e-4
    gradient = np.array(
        [
            (degrees(b + step, a_over_r) - degrees(b, a_over_r)) / step,
            (degrees(b, a_over_r + step) - degrees(b, a_over_r)) / step,
        ]
    )
    inner = covariance[np.ix_(places, places)]
    return degrees(b, a_over_r), math.sqrt(max(float(gradient @ inner @ gradient), 0.0))


def _mid_gradient(model: JointModel, i: int, size: int) -> Array:
    """How the i-th mid-time depends on the parameters."""
    gradient = np.zeros(size)
    if model.time_model == "free":
        gradient[model.names.index(f"offset {i}")] = 1.0
        return gradient
    gradient[model.names.index("offset")] = 1.0
    if model.time_model == "linear":
        gradient[model.names.index("slope")] = model.curves[i].epoch - model.middle_epoch
    return gradient


def _with_ephemeris(fit: JointFit, covariance: Array) -> JointFit:
    """Add period and mid-time near the middle: of the fit, or of the line through its times."""
    model = fit.model
    epochs = np.array([transit.curve.epoch for transit in fit.transits])
    if model.time_model == "free":
        return _line(fit, covariance, epochs)
    n = model.middle_epoch
    mid = model.planet.mid_bjd_tdb + model.planet.period_d * n + fit.value["offset"]
    here = replace(fit, epoch=n, mid_bjd_tdb=mid, mid_err_d=fit.err["offset"])
    if model.time_model == "period":
        return here
    places = [model.names.index(name) for name in ("offset", "slope")]
    return replace(
        here,
        period_d=model.planet.period_d + fit.value["slope"],
        period_err_d=fit.err["slope"],
        covariance_d2=float(covariance[places[0], places[1]]),
    )


def _line(fit: JointFit, covariance: Array, epochs: Array) -> JointFit:
    """Generalised least squares through the mid-times, whose errors the common shape ties."""
    model = fit.model
    places = [model.names.index(f"offset {i}") for i in range(len(epochs))]
    inverse = np.linalg.pinv(covariance[np.ix_(places, places)], hermitian=True)
    offsets = np.array([fit.value[model.names[place]] for place in places])
    weight = inverse.sum(axis=0)
    middle = round(float(weight @ epochs / weight.sum())) if weight.sum() > 0 else int(epochs[0])
    has_slope = len(set(epochs.tolist())) > 1
    terms = [np.ones(len(epochs)), *([epochs - middle] if has_slope else [])]
    line = np.column_stack(terms)
    of_line = np.linalg.inv(line.T @ inverse @ line)
    best = of_line @ (line.T @ inverse @ offsets)
    period = model.planet.period_d
    return replace(
        fit,
        epoch=middle,
        mid_bjd_tdb=model.planet.mid_bjd_tdb + period * middle + float(best[0]),
        mid_err_d=math.sqrt(float(of_line[0, 0])),
        period_d=period + (float(best[1]) if has_slope else 0.0),
        period_err_d=math.sqrt(float(of_line[1, 1])) if has_slope else None,
        covariance_d2=float(of_line[0, 1]) if has_slope else None,
    )
