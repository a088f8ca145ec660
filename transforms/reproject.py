"""One frame on the pixels of another: a coarse map, interpolated, and a kernel that keeps flux.

A map from the pixels of a grid to those of a frame is smooth, so it is evaluated every 64 pixels
and interpolated between. The interpolated map is continuous, and the value of a grid pixel is the
light of the frame at its place times the area it covers there (the Jacobian of the map), so that
the light of a star on the grid is that on the frame, whatever the scales of both.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import RegistrationError
from .combine import compiled
from .pixels import Image

Kernel = Literal["bilinear", "lanczos3"]
Carry = Callable[[NDArray[Any], NDArray[Any]], tuple[NDArray[Any], NDArray[Any]]]

STEP_PIX = 64
LEAST_STEP_PIX = 4
TOLERANCE_PIX = 0.01
REACH = 3  # pixels to each side of a Lanczos-3 kernel
N_PHASE = 1024  # of the table of Lanczos weights: 0.0005 pixel at most from any place
SNAP_PIX = 1e-4  # a neighbour with less weight is none: a bad one must not spoil a good pixel


@dataclass(frozen=True, slots=True)
class PixelMap:
    """Where the pixels of a grid lie on a frame, at nodes every `step_pix` grid pixels.

    Attributes
    ----------
    x_pix, y_pix
        Frame pixels of the nodes, 0-based, shape (n_node_y, n_node_x); nan where there is no image.
    step_pix
        Distance of the nodes, grid pixels.
    shape
        Shape of the grid, (n_y, n_x).
    error_pix
        Largest error of the interpolation, measured in the middle of every cell and its sides.
    """

    x_pix: NDArray[np.float64]
    y_pix: NDArray[np.float64]
    step_pix: int
    shape: tuple[int, int]
    error_pix: float


@dataclass(frozen=True, slots=True)
class Resampled:
    """Rows of a grid, arrays of shape (n_row, n_x); nan where the frame has nothing to give.

    `sky_variance_sums` holds two sums over the good pixels: of the sky variance that a large area
    has per pixel, and of that a single pixel has. Interpolated pixels share noise with their
    neighbours, so the first is larger; the square root of their ratio is the correlation factor.
    """

    data_adu: Image
    variance_adu2: Image
    sky_variance_sums: tuple[float, float]


def pixel_map(
    carry: Carry,
    shape: tuple[int, int],
    *,
    step_pix: int = STEP_PIX,
    tolerance_pix: float = TOLERANCE_PIX,
) -> PixelMap:
    """Evaluate a map on nodes so dense that interpolation between them is good enough.

    The interpolation is worst in the middle of a cell and of its sides, where it is compared with
    the map itself; the step is halved until the largest difference is within the tolerance.

    Parameters
    ----------
    carry
        Function of grid x, y (0-based, any shape) that gives frame x, y.
    shape
        Shape of the grid, (n_y, n_x).
    step_pix
        Distance of the nodes to begin with, grid pixels; a power of two.
    tolerance_pix
        Largest allowed error, frame pixels.

    Raises
    ------
    RegistrationError
        If the map bends too much for nodes 4 pixels apart, or is defined nowhere.
    """
    while True:
        n_cell_y, n_cell_x = (max(1, -(-(n - 1) // step_pix)) for n in shape)
        # every other point is a node, the others are where the interpolation is tried
        y, x = np.meshgrid(
            np.arange(2 * n_cell_y + 1) * (step_pix / 2),
            np.arange(2 * n_cell_x + 1) * (step_pix / 2),
            indexing="ij",
        )
        there = np.array(carry(x, y), dtype=np.float64)
        error_pix = _interpolation_error(there)
        if error_pix <= tolerance_pix:
            node_x, node_y = np.ascontiguousarray(there[:, ::2, ::2])
            return PixelMap(node_x, node_y, step_pix, shape, error_pix)
        if step_pix <= LEAST_STEP_PIX or not np.isfinite(error_pix):
            raise RegistrationError(
                f"map of {shape[1]} x {shape[0]} pixels: off by {error_pix:.3g} pixels between "
                f"nodes {step_pix} pixels apart, at most {tolerance_pix:g} allowed. Its "
                "registration diverges: solve or register the frame again."
            )
        step_pix //= 2


def positions(mapped: PixelMap, x_pix: NDArray[Any], y_pix: NDArray[Any]):
    """Carry grid pixels to frame pixels by interpolation between the nodes, as the kernels do."""
    u, v = np.asarray(x_pix) / mapped.step_pix, np.asarray(y_pix) / mapped.step_pix
    i = np.clip(u.astype(int), 0, mapped.x_pix.shape[1] - 2)
    j = np.clip(v.astype(int), 0, mapped.x_pix.shape[0] - 2)
    s, t = u - i, v - j
    return tuple(
        (1 - t) * ((1 - s) * node[j, i] + s * node[j, i + 1])
        + t * ((1 - s) * node[j + 1, i] + s * node[j + 1, i + 1])
        for node in (mapped.x_pix, mapped.y_pix)
    )


def area_ratio(mapped: PixelMap) -> float:
    """Return the area of a grid pixel in frame pixels, median over the cells."""
    area = _cell_area(mapped.x_pix, mapped.y_pix) / mapped.step_pix**2
    return float(np.nanmedian(np.abs(area)))


def at_nodes(smooth_map: Image, mapped: PixelMap) -> NDArray[np.float64]:
    """Sample a smooth map of the frame, shape (n_y, n_x), at the nodes; off the frame its edge."""
    n_y, n_x = smooth_map.shape
    x = np.clip(np.nan_to_num(mapped.x_pix), 0, n_x - 1).round().astype(int)
    y = np.clip(np.nan_to_num(mapped.y_pix), 0, n_y - 1).round().astype(int)
    return smooth_map[y, x].astype(np.float64)


def resample_rows(
    image_adu: Image,
    mapped: PixelMap,
    start: int,
    stop: int,
    *,
    sky_variance_adu2: NDArray[np.float64],
    gain_e_per_adu: float | None = None,
    factor: float = 1.0,
    kernel: Kernel = "bilinear",
) -> Resampled:
    """Bring a frame onto rows of a grid, with the variance of every pixel.

    Parameters
    ----------
    image_adu
        Frame without its sky, shape (n_y, n_x), float32; nan is bad. A grid pixel is nan where
        its kernel touches a bad pixel or the frame's outside.
    mapped
        Where the grid lies on the frame.
    start, stop
        Rows of the grid, start <= y < stop.
    sky_variance_adu2
        Variance of the sky in one frame pixel, at the nodes; see `at_nodes`.
    gain_e_per_adu
        Adds the photon noise of the stars; None: it is not known and left out.
    factor
        Multiplies the light.
    kernel
        bilinear, or lanczos3: sharper and less correlated, with ringing around hard edges.

    Returns
    -------
    Light and variance, ADU and ADU^2 times `factor` and its square.
    """
    n_x = mapped.shape[1]
    data, variance = np.empty((2, stop - start, n_x), np.float32)
    inverse_gain = 1.0 / gain_e_per_adu if gain_e_per_adu else 0.0
    tuning = np.array([mapped.step_pix, inverse_gain, factor], np.float64)
    taps = _lanczos_table() if kernel == "lanczos3" else np.empty((0, 0), np.float32)
    nodes = np.stack([mapped.x_pix, mapped.y_pix, sky_variance_adu2])
    sums = _resample(image_adu, nodes, tuning, taps, start, data, variance)
    return Resampled(data, variance, (float(sums[0]), float(sums[1])))


def bin_image(image: Image, n: int) -> Image:
    """Add up squares of n x n pixels; what is left over at the far edges is dropped."""
    n_y, n_x = (size // n for size in image.shape)
    squares = image[: n_y * n, : n_x * n].reshape(n_y, n, n_x, n)
    return np.ascontiguousarray(squares.sum(axis=(1, 3), dtype=np.float32))


def binned_map(mapped: PixelMap, n: int) -> PixelMap:
    """Give the map to the same frame after `bin_image`."""
    x, y = ((node - (n - 1) / 2) / n for node in (mapped.x_pix, mapped.y_pix))
    return PixelMap(x, y, mapped.step_pix, mapped.shape, mapped.error_pix / n)


def _interpolation_error(there: NDArray[np.float64]) -> float:
    """Compare points between nodes with their interpolation; shape (2, 2 n + 1, 2 m + 1)."""
    nodes = there[:, ::2, ::2]
    between = (
        (there[:, ::2, 1::2], nodes[:, :, :-1], nodes[:, :, 1:]),
        (there[:, 1::2, ::2], nodes[:, :-1], nodes[:, 1:]),
    )
    worst = np.nan
    for true, one, other in between:
        worst = np.fmax(worst, _largest(true - (one + other) / 2))
    corners = nodes[:, :-1, :-1] + nodes[:, :-1, 1:] + nodes[:, 1:, :-1] + nodes[:, 1:, 1:]
    return float(np.fmax(worst, _largest(there[:, 1::2, 1::2] - corners / 4)))


def _largest(miss: NDArray[np.float64]) -> float:
    distance = np.hypot(*miss)
    return float(np.nanmax(distance)) if np.isfinite(distance).any() else np.nan


def _cell_area(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Signed area of each cell on the frame, by its diagonals."""
    d1x, d2x = x[1:, 1:] - x[:-1, :-1], x[1:, :-1] - x[:-1, 1:]
    d1y, d2y = y[1:, 1:] - y[:-1, :-1], y[1:, :-1] - y[:-1, 1:]
    return (d1x * d2y - d1y * d2x) / 2


def _lanczos_table() -> NDArray[np.float32]:
    """Weights of the six pixels around a place, for each of its phases; each row adds up to 1."""
    phase = np.arange(N_PHASE + 1)[:, None] / N_PHASE
    distance = phase - np.arange(1 - REACH, REACH + 1)
    weights = np.sinc(distance) * np.sinc(distance / REACH)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


@compiled
def _resample(image, nodes, tuning, taps, start, data, variance):  # noqa: PLR0917
    """Fill rows of the grid; returns the two sums of `Resampled.sky_variance_sums`."""
    n_row, n_x = data.shape
    step, inverse_gain, factor = tuning
    place = np.empty((4, n_x), np.float64)
    sums = np.zeros(2, np.float64)
    for row in range(n_row):
        _place_row(nodes, step, start + row, place)
        if taps.shape[0] == 0:
            _bilinear_row(image, place, inverse_gain, factor, data[row], variance[row], sums)
        else:
            _lanczos_row(image, place, inverse_gain, factor, taps, data[row], variance[row], sums)
    return sums


@compiled
def _place_row(nodes, step, y, place):
    """Fill frame x, frame y, area on the frame and sky variance of the pixels of a grid row."""
    n_x = place.shape[1]
    width = int(step)
    j = min(int(y / step), nodes.shape[1] - 2)
    t = y / step - j
    for i in range(nodes.shape[2] - 1):
        x0 = (1 - t) * nodes[0, j, i] + t * nodes[0, j + 1, i]
        x1 = (1 - t) * nodes[0, j, i + 1] + t * nodes[0, j + 1, i + 1]
        y0 = (1 - t) * nodes[1, j, i] + t * nodes[1, j + 1, i]
        y1 = (1 - t) * nodes[1, j, i + 1] + t * nodes[1, j + 1, i + 1]
        s0 = (1 - t) * nodes[2, j, i] + t * nodes[2, j + 1, i]
        s1 = (1 - t) * nodes[2, j, i + 1] + t * nodes[2, j + 1, i + 1]
        across_x = (x1 - x0) / step
        across_y = (y1 - y0) / step
        area0 = across_x * (nodes[1, j + 1, i] - nodes[1, j, i])
        area0 -= across_y * (nodes[0, j + 1, i] - nodes[0, j, i])
        area1 = across_x * (nodes[1, j + 1, i + 1] - nodes[1, j, i + 1])
        area1 -= across_y * (nodes[0, j + 1, i + 1] - nodes[0, j, i + 1])
        first = i * width
        for k in range(min(width, n_x - first)):
            s = k / step
            place[0, first + k] = x0 + s * (x1 - x0)
            place[1, first + k] = y0 + s * (y1 - y0)
            place[2, first + k] = abs(area0 + s * (area1 - area0)) / step
            place[3, first + k] = s0 + s * (s1 - s0)
        if i == nodes.shape[2] - 2 and first + width < n_x:  # the grid ends on its last node
            place[0, first + width] = x1
            place[1, first + width] = y1
            place[2, first + width] = abs(area1) / step
            place[3, first + width] = s1


@compiled
def _noise(sky, photons):
    """Add the variances of sky and photons; these may be below zero, as they are in half the sky.

    Cutting them off at zero would count the noise of the sky as light, and make it too large.
    """
    return max(sky + photons, 0.5 * sky)


@compiled
def _bilinear_row(image, place, inverse_gain, factor, data, variance, sums):  # noqa: PLR0917
    n_y, n_x = image.shape
    for c in range(data.shape[0]):
        x = place[0, c]
        y = place[1, c]
        inside = (x > -SNAP_PIX) & (x < n_x - 1 + SNAP_PIX)
        if not (inside & (y > -SNAP_PIX) & (y < n_y - 1 + SNAP_PIX)):
            data[c] = np.nan
            variance[c] = np.nan
            continue
        i = min(int(max(x, 0.0) + SNAP_PIX), n_x - 1)
        j = min(int(max(y, 0.0) + SNAP_PIX), n_y - 1)
        fx = np.float32(max(x - i, 0.0))
        fy = np.float32(max(y - j, 0.0))
        i1 = i + (fx > SNAP_PIX)
        j1 = j + (fy > SNAP_PIX)
        gx = np.float32(1) - fx
        gy = np.float32(1) - fy
        a = image[j, i]
        b = image[j, i1]
        p = image[j1, i]
        q = image[j1, i1]
        light = gy * (gx * a + fx * b) + fy * (gx * p + fx * q)
        photons = gy * gy * (gx * gx * a + fx * fx * b) + fy * fy * (gx * gx * p + fx * fx * q)
        share = (gx * gx + fx * fx) * (gy * gy + fy * fy)
        scale = place[2, c] * factor
        data[c] = scale * light
        if np.isfinite(light):
            variance[c] = scale * scale * _noise(share * place[3, c], inverse_gain * photons)
            sums[0] += place[2, c] * place[3, c]
            sums[1] += place[2, c] * place[2, c] * share * place[3, c]
        else:
            data[c] = np.nan
            variance[c] = np.nan


@compiled
def _lanczos_row(image, place, inverse_gain, factor, taps, data, variance, sums):  # noqa: PLR0917
    n_y, n_x = image.shape
    zero = np.float32(0)
    for c in range(data.shape[0]):
        x = place[0, c]
        y = place[1, c]
        data[c] = np.nan
        variance[c] = np.nan
        if not ((x > -SNAP_PIX) & (x < n_x - 1 + SNAP_PIX)):
            continue
        if not ((y > -SNAP_PIX) & (y < n_y - 1 + SNAP_PIX)):
            continue
        i = int(np.floor(x))
        j = int(np.floor(y))
        wx = taps[int((x - i) * N_PHASE + 0.5)]
        wy = taps[int((y - j) * N_PHASE + 0.5)]
        light = zero
        photons = zero
        share_x = zero
        share_y = zero
        for k in range(2 * REACH):
            share_x += wx[k] * wx[k]
            share_y += wy[k] * wy[k]
        for m in range(2 * REACH):
            if abs(wy[m]) <= SNAP_PIX:
                continue
            # pixels beyond the edge repeat it
            line = image[min(max(j + m + 1 - REACH, 0), n_y - 1)]
            for k in range(2 * REACH):
                if abs(wx[k]) > SNAP_PIX:
                    value = line[min(max(i + k + 1 - REACH, 0), n_x - 1)]
                    weight = wx[k] * wy[m]
                    light += weight * value
                    photons += weight * weight * value
        if not np.isfinite(light):
            continue
        scale = place[2, c] * factor
        share = share_x * share_y
        data[c] = scale * light
        variance[c] = scale * scale * _noise(share * place[3, c], inverse_gain * photons)
        sums[0] += place[2, c] * place[3, c]
        sums[1] += place[2, c] * place[2, c] * share * place[3, c]
