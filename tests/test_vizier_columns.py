"""Answers of VizieR, in its column names and units, through VOTable as it sends them."""

import io
import warnings

import numpy as np
import pytest
from astropy.io.votable import from_table, parse_single_table
from astropy.io.votable.exceptions import W03
from astropy.table import Table

from starmuster.ingest.references import read_catalogue
from starmuster.ingest.vizier import Cone, cone_of, fetch_cone

N_STAR = 4
TEXTS = ("Name", "Type", "2MASS", "n_max", "f_min", "n_min")
COUNTS = ("Source", "objID", "recno", "OID", "TYC1", "TYC2", "TYC3")
UNITS = {"pmRA": "mas / yr", "pmDE": "mas / yr", "Plx": "mas", "e_Plx": "mas", "Period": "d"}
MAGNITUDES = {
    "atlas-refcat2": {"Pan-STARRS": "griz", "Gaia DR2": ["G", "BP", "RP"], "2MASS": "JHK"},
    "gaia-dr3": {"Gaia DR3": ["G", "BP", "RP"]},
    "gaia-dr2": {"Gaia DR2": ["G", "BP", "RP"]},
    "apass": {"Johnson-Cousins": "BV", "SDSS": "gri"},
    "panstarrs": {"Pan-STARRS": "grizy"},
    "sdss": {"SDSS": "ugriz"},
    "2mass": {"2MASS": "JHK"},
    "tycho2": {"Tycho": ["BT", "VT"]},
    "vsx": {},
}


def answer(cone: Cone, *, use_names: bool) -> Table:
    """Give a table of the columns asked for, sent as VOTable and read by name or by ID."""
    step = 0.01 * np.arange(N_STAR)
    table = Table()
    for name in cone.columns:
        if name in TEXTS:
            table[name] = [f"{name} {i}" for i in range(N_STAR)]
        elif name in COUNTS:
            table[name] = np.arange(N_STAR) + 10
        elif name == "V":
            table[name] = np.zeros(N_STAR, np.uint8)
        elif name.startswith("RA"):
            table[name] = cone.ra_deg + step
        elif name.startswith("DE"):
            table[name] = cone.dec_deg + step
        else:
            table[name] = (0.1 if name.startswith("e_") else 12.0) + step
        unit = "deg" if name.startswith(("RA", "DE")) else UNITS.get(name)
        if unit or "mag" in name or name in {"max", "min"}:
            table[name].unit = unit or "mag"
    sent = io.BytesIO()
    with warnings.catch_warnings():
        # names like g'mag are no XML identifiers: VizieR, too, sends another ID with them
        warnings.simplefilter("ignore", W03)
        from_table(table).to_xml(sent)
        sent.seek(0)
        return parse_single_table(sent).to_table(use_names_over_ids=use_names)


@pytest.mark.parametrize("use_names", [True, False])
@pytest.mark.parametrize("name", MAGNITUDES)
def test_what_is_asked_of_vizier_is_what_is_read(name, use_names):
    cone = cone_of(name, 150.0, 20.0, 0.2)
    raw, _ = fetch_cone(cone, ask=lambda asked: answer(asked, use_names=use_names))
    found = read_catalogue(raw, name, source="VizieR")
    assert found.stars.height == N_STAR
    assert found.n_unplaced == found.n_duplicate == 0
    np.testing.assert_allclose(found.stars["ra_deg"].sort(), 150 + 0.01 * np.arange(N_STAR))
    assert found.variables.height == (N_STAR if name == "vsx" else 0)
    seen = set(found.magnitudes.select("photometric_system", "band").rows())
    assert seen == {(system, band) for system, bands in MAGNITUDES[name].items() for band in bands}
    assert found.magnitudes["mag"].is_between(11.9, 12.1).all()
    assert found.magnitudes["mag_err"].is_between(0.05, 0.2).all()
    if "pmRA" in cone.columns:
        assert found.stars["pm_ra_mas_per_yr"].is_between(11.9, 12.1).all()
