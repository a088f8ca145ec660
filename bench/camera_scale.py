"""All figures of masters, calibration and headers in one table: combine, calibration, headers."""

import calibration
import combine
import headers
from measure import show

if __name__ == "__main__":
    rows = [*combine.rows(), *calibration.rows(), *headers.rows()]
    show("Frames of 9576 x 6388, and their headers", rows)
