"""Kernels of the calibration: a row at a time, which stays in the innermost cache."""

import numpy as np

from .combine import compiled
from .linearity import linearity_factors
from .mask import PixelMask

SATURATED_BIT, BAD_BIT = PixelMask.SATURATED.value, PixelMask.BAD.value
NONLINEAR_BIT = PixelMask.NONLINEAR.value


@compiled
def _take_off(out, image, j, factor):
    if not image.shape[0]:
        return
    row = image[j]
    if factor == np.float32(1):
        for i in range(out.size):
            out[i] -= row[i]
    else:
        for i in range(out.size):
            out[i] -= factor * row[i]


@compiled
def _start_row(source, j, row_level, column_level, numbers, out, bits):  # noqa: PLR0917
    """Copy a raw row, judge it, and take the overscan off."""
    saturation, nonlinear = numbers[0], numbers[1]
    # one loop for each array that is written: the compiler turns these into vector instructions
    for i in range(out.size):
        out[i] = np.float32(source[i])
    for i in range(out.size):
        bits[i] = np.uint8(SATURATED_BIT * (out[i] >= saturation)) | np.uint8(
            NONLINEAR_BIT * (out[i] >= nonlinear)
        )
    if row_level.size:
        level = row_level[j]
        for i in range(out.size):
            out[i] -= level
    if column_level.size:
        for i in range(out.size):
            out[i] -= column_level[i]


@compiled
def _linearise(out, bits, level, factor, found):
    """Multiply a row by its factors, which are left in `found`."""
    linearity_factors(out, level, factor, found)
    top = level[level.size - 1]
    for i in range(out.size):
        bits[i] |= np.uint8(NONLINEAR_BIT * (out[i] > top))
        out[i] *= found[i]


@compiled
def _divide(out, bits, flat, j, min_flat, divisor):  # noqa: PLR0917
    """Divide a row by its flat where that is of use; `divisor` is what it was divided by."""
    row = flat[j]
    for i in range(out.size):
        is_lit = (row[i] > min_flat) & (row[i] < np.float32(np.inf))
        divisor[i] = row[i] if is_lit else np.float32(1)
    for i in range(out.size):
        out[i] /= divisor[i]
    for i in range(out.size):
        is_lit = (row[i] > min_flat) & (row[i] < np.float32(np.inf))
        bits[i] |= np.uint8(BAD_BIT * (not is_lit))


@compiled
def _finish_row(out, bits, bad, j):
    """Add the defects, and what is no number."""
    if bad.shape[0]:
        row = bad[j]
        for i in range(out.size):
            bits[i] |= row[i]
    for i in range(out.size):
        bits[i] |= np.uint8(BAD_BIT * (not (np.abs(out[i]) < np.float32(np.inf))))


@compiled
def calibrate_rows(  # noqa: PLR0917
    raw, window, row_level, column_level, first, second, third, factors, n_before, flat, bad,
    level, factor, numbers, data, mask,
):  # fmt: skip
    """Calibrate the window of a frame, a row at a time: it stays in the innermost cache."""
    spare = np.empty(window[3] - window[2], np.float32)
    for j in range(window[1] - window[0]):
        y = window[0] + j
        out = data[y, window[2] : window[3]]
        bits = mask[y, window[2] : window[3]]
        _start_row(raw[y, window[2] : window[3]], j, row_level, column_level, numbers, out, bits)
        if n_before == 0 and level.size:
            _linearise(out, bits, level, factor, spare)
        _take_off(out, first, j, factors[0])
        if n_before == 1 and level.size:
            _linearise(out, bits, level, factor, spare)
        _take_off(out, second, j, factors[1])
        _take_off(out, third, j, factors[2])
        if flat.shape[0]:
            _divide(out, bits, flat, j, numbers[2], spare)
        _finish_row(out, bits, bad, j)


@compiled
def _add_variance(spread, variance, j, factor):
    if not variance.shape[0]:
        return
    row = variance[j]
    for i in range(spread.size):
        spread[i] += factor * factor * row[i]


@compiled
def _photons(out, spread, noise):
    for i in range(out.size):
        light = out[i] if out[i] > 0 else np.float32(0)
        spread[i] = noise[0] + noise[1] * light


@compiled
def propagate_rows(  # noqa: PLR0917
    raw, window, row_level, column_level, first, second, third, factors, n_before,
    first_variance, second_variance, third_variance, variance_factors, flat, flat_variance, bad,
    level, factor, numbers, noise, spare, data, variance, mask,
):  # fmt: skip
    """Calibrate a band of rows and propagate variances; masters hold the band's rows alone."""
    for j in range(window[1] - window[0]):
        y = window[0] + j
        out = data[y, window[2] : window[3]]
        bits = mask[y, window[2] : window[3]]
        spread = variance[y, window[2] : window[3]]
        _start_row(raw[y, window[2] : window[3]], j, row_level, column_level, numbers, out, bits)
        if n_before == 1:
            _take_off(out, first, j, factors[0])
        _photons(out, spread, noise)
        if level.size:
            _linearise(out, bits, level, factor, spare)
            for i in range(out.size):
                spread[i] *= spare[i] * spare[i]
        if n_before == 0:
            _take_off(out, first, j, factors[0])
        _take_off(out, second, j, factors[1])
        _take_off(out, third, j, factors[2])
        _add_variance(spread, first_variance, j, variance_factors[0])
        _add_variance(spread, second_variance, j, variance_factors[1])
        _add_variance(spread, third_variance, j, variance_factors[2])
        if flat.shape[0]:
            _divide(out, bits, flat, j, numbers[2], spare)
            for i in range(out.size):
                spread[i] /= spare[i] * spare[i]
            if flat_variance.shape[0]:
                _add_flat_variance(out, bits, spread, flat_variance[j], spare)
        _finish_row(out, bits, bad, j)
        for i in range(out.size):
            is_number = np.abs(out[i]) < np.float32(np.inf)
            spread[i] = spread[i] if is_number else np.float32(np.nan)


@compiled
def _add_flat_variance(out, bits, spread, flat_variance, divisor):
    for i in range(out.size):
        relative = out[i] / divisor[i]
        # of a pixel that was not divided the flat says nothing
        own = relative * relative * flat_variance[i]
        spread[i] += own if not bits[i] & BAD_BIT else np.float32(0)
