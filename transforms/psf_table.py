"""The table of what an analytic profile misses, from many stars of a frame."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .psf_table_kernels import node_samples, profile_nodes

MIN_STAR = 12  # with fewer the profile stays analytic
MIN_STAR_PER_TERM = 10  # of a table that varies over the field
NODES_PER_FWHM = 5.0
JUDGED_FWHM = 1.5  # within it a table must foretell stars it does not know
MAX_WEIGHT = 4.0  # of the median weight: no star alone makes a table
BEND = 2.5  # robust sigmas at which a sample counts half
N_ROUND = 4


@dataclass(frozen=True, slots=True)
class Table:
    """What is added to an analytic profile, on a grid of parts of a pixel.

    Attributes
    ----------
    analytic
        The profile itself at the nodes, shape (side, side): light of a unit star in a pixel there.
    values
        Shape (n_term, side, side): constant, and times u and v over the field if it varies.
    per_pix, reach_pix
        Nodes in a pixel along each axis; half a side, pixels.
    n_star
        Stars it comes from; 0: none, the values are nought.
    """

    analytic: NDArray[np.float64]
    values: NDArray[np.float64]
    per_pix: int
    reach_pix: int
    n_star: int = 0

    @property
    def n_term(self) -> int:
        return self.values.shape[0]


def empty_table(model: int, shape: NDArray, *, fwhm_pix: float, reach_pix: int) -> Table:
    """Begin with the analytic profile alone."""
    per_pix = int(np.clip(2 ** np.ceil(np.log2(NODES_PER_FWHM / fwhm_pix)), 1, 4))
    analytic = profile_nodes(model, shape, reach_pix, per_pix)
    return Table(analytic, np.zeros((1, *analytic.shape)), per_pix, reach_pix)


@dataclass(frozen=True, slots=True)
class Bright:
    """Stars that a table is made from: x, y, sky, flux, shape (n,); u and v in `place`, (n, 2)."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    sky: NDArray[np.float64]
    flux: NDArray[np.float64]
    place: NDArray[np.float64]

    def some(self, chosen: NDArray[np.intp]) -> "Bright":
        return Bright(*(getattr(self, name)[chosen] for name in self.__slots__))


def improved_table(
    table: Table, residual: NDArray, stars: Bright, noise2: float, *, fwhm_pix: float, gain
) -> Table:
    """Add to a table what the profile with it leaves of some stars.

    Each star's residual is read at the nodes by cubic convolution, over its flux; at each node the
    stars are averaged robustly. Whether the table varies linearly over the field is decided when it
    is begun, by how well each star is foretold from the others (leave-one-out): so is whether there
    is to be a table at all. The profile keeps holding one unit of light everywhere.

    Parameters
    ----------
    residual
        Frame without its stars, shape (n_y, n_x); nan where there is no value.
    stars
        The table is made from these.
    noise2
        Variance of a sky pixel.
    gain
        e-/ADU, None: not known.

    References
    ----------
    Stetson 1987, PASP 99, 191; Anderson & King 2000, PASP 112, 1360; Allen 1974, Technometrics 16,
    125.
    """
    n_star = stars.x.size
    if n_star < MIN_STAR:
        return table
    samples = node_samples(
        residual, stars.x, stars.y, stars.sky, stars.flux, table.reach_pix, table.per_pix
    )
    distance = _distance(table)
    disc = distance <= table.reach_pix - 0.5
    samples = samples[:, disc]
    weight = _weights(stars.flux, noise2, gain, peak=float(table.analytic.max()))
    terms = np.column_stack([np.ones(n_star), stars.place])
    judged = distance[disc] <= JUDGED_FWHM * fwhm_pix
    if table.n_star:
        fit, _ = _fit_nodes(samples, weight, terms[:, : table.n_term])
    else:
        untold = np.median(weight * np.nansum(samples[:, judged] ** 2, axis=1))
        fit, miss = _fit_nodes(samples, weight, terms[:, :1])
        told = _foretold(weight, miss, judged)
        if n_star >= MIN_STAR_PER_TERM * terms.shape[1]:
            sloping, slope_miss = _fit_nodes(samples, weight, terms)
            by_slope = _foretold(weight, slope_miss, judged)
            if by_slope < told:
                fit, told = sloping, by_slope
        if told >= untold:
            return table
    values = np.zeros((fit.shape[0], *disc.shape))
    values[: table.n_term] = table.values
    values[:, disc] += fit
    return replace(table, values=_unit_light(table, values, disc), n_star=n_star)


def _distance(table: Table) -> NDArray[np.float64]:
    steps = np.arange(table.analytic.shape[0]) / table.per_pix - table.reach_pix
    return np.hypot(steps, steps[:, None])


def _weights(flux: NDArray, noise2: float, gain, *, peak: float) -> NDArray[np.float64]:
    """Weigh stars by the noise of their relative residuals, halfway up the profile."""
    photons = 0.0 if gain is None else 0.5 * peak * flux / gain
    weight = flux**2 / (noise2 + photons)
    weight = np.minimum(weight, MAX_WEIGHT * np.median(weight))
    return weight / weight.mean()


def _fit_nodes(samples, weight, terms) -> tuple[NDArray, NDArray]:
    """Fit the terms at every node by robust weighted least squares.

    Returns
    -------
    Coefficients, shape (n_term, n_node), and by how much each star is missed by the fit to all
    others, shape (n, n_node), 0 where it has no sample.
    """
    n_star, n_term = terms.shape
    is_known = np.isfinite(samples)
    sample = np.where(is_known, samples, 0.0)
    products = (terms[:, :, None] * terms[:, None, :]).reshape(n_star, n_term**2)
    fit = np.zeros((n_term, samples.shape[1]))
    with np.errstate(all="ignore"):
        fit[0] = np.nan_to_num(_median(np.where(is_known, sample, np.nan)))
    trust = inverse = np.empty(0)
    for _ in range(N_ROUND):
        off = np.abs(sample - terms @ fit) * np.sqrt(weight)[:, None]
        width = 1.4826 * _median(np.where(is_known, off, np.nan)) + 1e-30
        trust = is_known * weight[:, None] / (1 + (off / (BEND * np.nan_to_num(width, nan=1))) ** 4)
        normal = (trust.T @ products).reshape(-1, n_term, n_term)
        normal += 1e-9 * (1 + np.trace(normal, axis1=1, axis2=2))[:, None, None] * np.eye(n_term)
        inverse = np.linalg.inv(normal)
        fit = np.einsum("nab,nb->an", inverse, (trust * sample).T @ terms)
    leverage = trust * (products @ inverse.reshape(-1, n_term**2).T)
    miss = (sample - terms @ fit) / np.maximum(1 - leverage, 1e-3)
    return fit, np.where(is_known, miss, 0.0)


def _median(values: NDArray) -> NDArray[np.float64]:
    """Take the median over the stars; nans are rare, and sort last."""
    return np.sort(values, axis=0)[(values.shape[0] - 1) // 2]


def _foretold(weight, miss, judged) -> float:
    return float(np.median(weight * (miss[:, judged] ** 2).sum(axis=1)))


def _unit_light(table: Table, values: NDArray, disc: NDArray) -> NDArray[np.float64]:
    """Scale a table such that profile and table hold one unit of light, at every place."""
    whole = np.where(disc, table.analytic + values[0], 0.0)
    whole /= whole.sum() / table.per_pix**2
    scaled = np.zeros_like(values)
    scaled[0] = np.where(disc, whole - table.analytic, 0.0)
    for m in range(1, values.shape[0]):
        scaled[m] = values[m] - values[m].sum() / table.per_pix**2 * whole
    return scaled


def light_within(table: Table, radius_pix: float) -> float:
    """Return the share of a star's light within a radius, in the middle of the field."""
    inside = _distance(table) <= radius_pix
    return float((table.analytic + table.values[0])[inside].sum() / table.per_pix**2)
