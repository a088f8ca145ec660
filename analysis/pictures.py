"""Pictures of stacks: grey with chosen cuts and its histogram, and in colour after Lupton.

Images are arrays of shape (n_y, n_x) whose first row is at the bottom, nan where nothing was seen.
"""

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from astropy.visualization import make_lupton_rgb
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image as Pillow

from ..errors import UsageError
from .canvas import BINNED, GREY, MODEL, WIDE_IN, Array, figure_style

Picture = NDArray[np.uint8]

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
LARGEST_PIX = 4096  # longer side of a picture
GREY_PIX = 1400
SAMPLE = 500_000  # pixels that stand for an image in its histogram
LOW_SIGMA, HIGH_PERCENT = 2.0, 99.5
STRETCH_SIGMA, SOFTENING = 15.0, 8.0
STAR_SIGMA = 10.0  # pixels that tell the colour of the stars


def default_cuts(image: Array) -> tuple[float, float]:
    """Choose cuts that show the faint and keep the noise dark: two sigmas below the sky, 99.5 %.

    Raises
    ------
    UsageError
        If nothing was seen anywhere.
    """
    values = _sample(image)
    middle, sigma = _sky(values)
    low = middle - LOW_SIGMA * sigma
    return low, max(float(np.percentile(values, HIGH_PERCENT)), low + 10 * sigma)


def grey_figure(
    image: Array, *, cuts: tuple[float, float] | None = None, title: str = ""
) -> Figure:
    """Draw an image dark on white between two cuts, and below it the histogram of its pixels.

    Parameters
    ----------
    image
        ADU per pixel.
    cuts
        Light shown white and black, ADU; None: `default_cuts`.

    Raises
    ------
    UsageError
        If the cuts are not in order, or nothing was seen anywhere.
    """
    low, high = cuts or default_cuts(image)
    if not low < high:
        raise UsageError(f"cuts {low:g} {high:g}: the first must be below the second.")
    n = math.ceil(max(image.shape) / GREY_PIX)
    small = shrink(image, n)
    with figure_style(**{"ytick.right": False}):
        # the room that labels need beside and below is about 0.7 and 1.1 inches
        height_in = min((WIDE_IN - 0.7) * small.shape[0] / small.shape[1], 9.0)
        figure = Figure(figsize=(WIDE_IN, height_in + 1.2 + 1.1), layout="constrained")
        top, bottom = figure.subplots(2, 1, height_ratios=(height_in, 1.2))
        right, above = small.shape[1] * n - 0.5, small.shape[0] * n - 0.5
        extent = (-0.5, right, -0.5, above)
        top.set_facecolor("#f3e9dc")  # where nothing was seen
        top.imshow(small, cmap="gray_r", vmin=low, vmax=high, origin="lower", extent=extent)
        top.set_xlabel("x (pix)")
        top.set_ylabel("y (pix)")
        top.set_title(title, fontsize=9, loc="left")
        _draw_histogram(bottom, _sample(image), low, high)
    return figure


def lupton_picture(
    images: Sequence[Array],
    *,
    weights: Sequence[float] | None = None,
    stretch: float | None = None,
    softening: float = SOFTENING,
) -> Picture:
    """Make a colour picture whose stars keep their colours up to white.

    Parameters
    ----------
    images
        Red, green and blue, without sky, of one shape.
    weights
        Multiply the three; None: `white_balance`.
    stretch
        Light at which the picture leaves the linear part, in weighted ADU of the mean of the
        three; None: 15 sigmas of its sky.
    softening
        Q of the paper: how soon bright stars are compressed.

    Returns
    -------
    Shape (n_y, n_x, 3), first row at the top; black where one of the three saw nothing.

    Raises
    ------
    UsageError
        If the images differ in shape, or a number is not positive.

    References
    ----------
    Lupton et al. 2004, PASP 116, 133.
    """
    if len({image.shape for image in images}) != 1:
        raise UsageError(f"images of shapes {[image.shape for image in images]}: one is needed.")
    weights = white_balance(images) if weights is None else weights
    for name, value in (("weight", min(weights)), ("Q", softening), ("stretch", stretch or 1.0)):
        if not value > 0:
            raise UsageError(f"{name} {value:g}: a number above 0 is needed.")
    scaled = [np.asarray(w * image, np.float32) for w, image in zip(weights, images, strict=True)]
    seen = np.isfinite(scaled[0] + scaled[1] + scaled[2])
    if stretch is None:
        stretch = STRETCH_SIGMA * _sky(_sample((scaled[0] + scaled[1] + scaled[2]) / 3))[1]
    red, green, blue = (np.where(seen, image, np.float32(0)) for image in scaled)
    tuning: dict[str, Any] = {"minimum": 0, "stretch": stretch, "Q": softening}  # floats, too
    with np.errstate(divide="ignore", invalid="ignore"):  # of pixels without any light
        picture = make_lupton_rgb(red, green, blue, **tuning)
    picture[~seen] = 0
    return np.ascontiguousarray(picture[::-1])


def white_balance(images: Sequence[Array]) -> tuple[float, ...]:
    """Weigh images so that the median star is white: ratios of their pixels in bright light.

    The largest weight is 1. Where nothing is 10 sigmas bright in all, the sky noise is made equal.
    """
    noise = [_sky(_sample(image))[1] or 1.0 for image in images]
    step = max(1, math.isqrt(images[0].size // SAMPLE))
    parts = [image[::step, ::step] for image in images]
    bright = np.all(
        [part > STAR_SIGMA * sigma for part, sigma in zip(parts, noise, strict=True)], axis=0
    )
    if np.count_nonzero(bright) < 10:
        levels = np.array(noise)
    else:
        first = parts[0][bright]
        levels = np.array([np.median(part[bright] / first) for part in parts])
    return tuple(float(weight) for weight in levels.min() / levels)


def shrink(image: Array, n: int) -> Array:
    """Average squares of n x n pixels; what is left over at the far edges is dropped."""
    if n <= 1:
        return image
    n_y, n_x = (size // n for size in image.shape)
    squares = image[: n_y * n, : n_x * n].reshape(n_y, n, n_x, n)
    return squares.mean(axis=(1, 3), dtype=np.float32)


def window(
    shape: tuple[int, ...], centre_pix: tuple[float, float], size_pix: float
) -> tuple[slice, slice]:
    """Cut a square around a place out of an image, as far as the image goes: slices of y and x.

    Raises
    ------
    UsageError
        If the place is not on the image.
    """
    (n_y, n_x), (x, y) = shape, centre_pix
    if not (0 <= x <= n_x - 1 and 0 <= y <= n_y - 1):
        raise UsageError(
            f"the centre of the cut-out is at pixel {x:.0f},{y:.0f}, beyond the field of "
            f"{n_x} x {n_y} pixels. Choose a place on it."
        )
    half = max(size_pix / 2, 1.0)
    rows = slice(max(0, round(y - half)), min(n_y, round(y + half) + 1))
    columns = slice(max(0, round(x - half)), min(n_x, round(x + half) + 1))
    return rows, columns


def encode(picture: Picture, suffix: str) -> bytes:
    """Return a picture as the bytes of a PNG or JPEG file, by the suffix of its name.

    Raises
    ------
    UsageError
        If the suffix is that of another kind of file.
    """
    if suffix.lower() not in FORMATS:
        raise UsageError(f"{suffix or 'no suffix'}: pictures are written as .png, .jpg or .jpeg.")
    buffer = io.BytesIO()
    Pillow.fromarray(picture).save(buffer, FORMATS[suffix.lower()], quality=92)
    return buffer.getvalue()


def _draw_histogram(axes: Axes, values: Array, low: float, high: float) -> None:
    """Count pixels by their light, from below the sky to beyond the cuts."""
    middle, sigma = _sky(values)
    left = min(low, middle - 6 * sigma) - 0.05 * (high - low)
    right = high + 0.15 * (high - low)
    axes.hist(values, bins=300, range=(left, right), color=GREY, log=True)
    for cut, color in ((low, BINNED), (high, MODEL)):
        axes.axvline(cut, color=color, lw=1.2)
    axes.set_xlim(left, right)
    axes.set_xlabel(f"light (adu per pixel); cuts at {low:.4g} and {high:.4g}")
    axes.set_ylabel("pixels")
    axes.yaxis.set_major_formatter(lambda count, _: f"{count:,.0f}")


def _sample(image: Array) -> Array:
    """Return finite values of pixels spread evenly over the image."""
    step = max(1, math.isqrt(image.size // SAMPLE))
    values = image[::step, ::step]
    values = values[np.isfinite(values)]
    if values.size == 0:
        raise UsageError("the image is empty: no frame reaches this part of the field.")
    return values


def _sky(values: Array) -> tuple[float, float]:
    """Level and noise of the sky, from the pixels below the median, where no stars are."""
    middle = float(np.median(values))
    below = middle - values[values <= middle]
    return middle, float(1.4826 * np.median(below))
