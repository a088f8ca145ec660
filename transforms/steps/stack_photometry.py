"""The step that measures the stars of a field on a stack, as on a frame."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from astropy.io import fits

from ...errors import PhotometryError
from ...warehouse.packages import table_schemas
from ...warehouse.runs import Run
from ..detection import FALLBACK_FWHM_PIX
from ..mask import PixelMask
from ..photometry import forced_photometry
from .worker import annulus_radii, aperture_radii

OF_WHOLE_FRAMES = ("arcsec", "pix", "fwhm")


def measure_stack(run: Run, row: dict[str, Any], path: Path) -> int:
    """Measure every star of the field on its stack; return the number of stars.

    The pixels of a stack are those of the field, so the stars lie where the field has them. A pixel
    that no frame saw counts as missing.

    Parameters
    ----------
    row
        Of table `stack`.
    path
        Its file.

    Raises
    ------
    PhotometryError
        The field has no star on the stack.
    """
    field = f"field_id = {int(row['field_id'])}"
    with run.warehouse.reading() as con:
        stars = con.table("field_star").filter(field).order("source_id").pl()
        scale = con.table("field").filter(field).project("scale_arcsec_per_pix").fetchall()[0][0]
        known = con.table("aperture").project("aperture_id, kind, radius").fetchall()
    apertures = [aperture for aperture in known if aperture[1] in OF_WHOLE_FRAMES]
    fwhm_pix = row["fwhm_pix"] or FALLBACK_FWHM_PIX
    radii = aperture_radii(apertures, fwhm_pix=fwhm_pix, scale_arcsec_per_pix=scale)
    inner_pix, outer_pix = annulus_radii(run.warehouse.config.photometry, radii, fwhm_pix)
    light = np.asarray(fits.getdata(path), np.float32)
    n_used = np.asarray(fits.getdata(path, "COVERAGE"))
    unseen = (n_used == 0) | ~np.isfinite(light)
    found = forced_photometry(
        np.where(unseen, np.float32(0), light),
        stars.select("source_id", "x_pix", "y_pix", "flux_adu", "flags"),
        apertures=radii,
        annulus_inner_pix=inner_pix,
        annulus_outer_pix=outer_pix,
        fwhm_pix=fwhm_pix,
        mask=np.where(unseen, PixelMask.OUTSIDE.value, 0).astype(np.uint8),
    )
    if found.measurement.is_empty():
        raise PhotometryError(f"{path}: none of the {stars.height} stars of its field lies on it.")
    rows = {"stack_measurement": found.measurement, "stack_flux": found.aperture_flux}
    stack_id = pl.lit(row["stack_id"], pl.Int32).alias("stack_id")
    tables = {
        name: frame.with_columns(stack_id).select(table_schemas()[name].names())
        for name, frame in rows.items()
    }
    run.store("stack photometry", tables, night=row["night"])
    return found.measurement.height
