"""Which stars lie beyond those that laid a frame on its field."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

# how far a polynomial may be trusted beyond its stars, in sizes of the box that holds them
REACH_OF_DEGREE = {1: 0.5, 2: 0.2, 3: 0.1}


def is_extrapolated(
    x: ArrayLike, y: ArrayLike, *, x_matched: ArrayLike, y_matched: ArrayLike, degree: int
) -> NDArray[np.bool_]:
    """Tell which positions lie far outside the box of the matched stars, shape (n,).

    Parameters
    ----------
    x, y
        Positions, shape (n,), and those of the matched stars, any number, same pixels.
    degree
        Of the polynomial: a straight line can be drawn on farther than a cubic.
    """
    outside = np.zeros(len(np.asarray(x)), dtype=bool)
    for given, matched in ((x, np.asarray(x_matched)), (y, np.asarray(y_matched))):
        places = np.asarray(given)
        reach = REACH_OF_DEGREE[degree] * (matched.max() - matched.min())
        outside |= ~((places >= matched.min() - reach) & (places <= matched.max() + reach))
    return outside
