"""Colour terms lead to a photometric system and back, in Python and in SQL alike."""

import numpy as np
import pytest

from starmuster.analysis.cmd_isochrones import Wanted, load_grids, make_problem
from starmuster.analysis.colour_magnitude import Selection, catalogue_diagram, field_diagram
from starmuster.analysis.colour_terms import ColourTerms, seen_through
from starmuster.analysis.extinction import find_law
from starmuster.cli import main
from starmuster.errors import UsageError
from starmuster.ingest.synthetic_isochrones import grid, mist_text, sketched

TERMS = ColourTerms("g", "i", {"g": (0.05, 0.8), "i": (-0.03, 0.8), "r": (0.02, 0.8)})
SYSTEM = "Pan-STARRS"


def standard(n: int = 50) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(4)
    i = rng.uniform(12, 20, n)
    return {"g": i + rng.uniform(-0.3, 2.5, n), "r": i + rng.uniform(-0.2, 1.5, n), "i": i}


def test_natural_and_standard_magnitudes_are_each_others_inverse():
    mag = standard()
    colour = mag["g"] - mag["i"]
    seen = {band: TERMS.natural(band, mag[band], colour) for band in mag}
    np.testing.assert_allclose(seen["g"], mag["g"] - 0.05 * (colour - 0.8), rtol=1e-15)
    # nothing but what the instrument saw
    found = TERMS.standard_colour(seen["g"], seen["i"])
    np.testing.assert_allclose(found, colour, rtol=0, atol=1e-12)
    for band in mag:
        back = TERMS.standard(band, seen[band], found)
        np.testing.assert_allclose(back, mag[band], rtol=0, atol=1e-12)
    assert TERMS.natural("z", 15.0, 1.3) == 15.0  # no term


def test_the_macros_are_the_functions(database):
    mag = standard(5)
    for g, i in zip(mag["g"], mag["i"], strict=True):
        seen, back = database.execute(
            "select natural_mag($g, $c, 0.05, 0.8) as seen, standard_mag(seen, $c, 0.05, 0.8)",
            {"g": g, "c": g - i},
        ).fetchall()[0]
        assert seen == pytest.approx(TERMS.natural("g", g, g - i), abs=1e-12)
        assert back == pytest.approx(g, abs=1e-12)
    unknown = "select standard_mag(15.0, null, 0.05, 0.8), natural_mag(15.0, 1.0, null, null)"
    assert database.sql(unknown).fetchall() == [(15.0, 15.0)]


def test_reddening_acts_through_the_terms():
    law = find_law("F99")
    natural = seen_through(law, TERMS)
    a = {band: law.coefficient(SYSTEM, band) for band in "gri"}
    for band, mag in (("g", 14.0), ("r", 13.6), ("i", 13.5)):
        before = TERMS.natural(band, mag, 0.5)
        after = TERMS.natural(band, mag + 0.4 * a[band], 0.5 + 0.4 * (a["g"] - a["i"]))
        assert 0.4 * natural.coefficient(SYSTEM, band) == pytest.approx(after - before, abs=1e-12)
    assert seen_through(law, None) is law
    assert (natural.law, natural.r_v) == (law.law, law.r_v)


@pytest.fixture
def seen(build, four_stars, tmp_path):
    found = build(four_stars.night())
    curves = tmp_path / "synthetic.iso.cmd"
    curves.write_text(mist_text(grid(sketched(), [12.0], -1.35)))
    assert main(["-w", str(found.folder), "import", "isochrones", str(curves)]) == 0
    return found


def drawn(found, colour: str = "g-i", **limits):
    with found.reading() as con:
        return field_diagram(
            con, 1, "M 13", colour=colour, mag_band="r", selection=Selection(**limits)
        )


def test_a_natural_diagram_is_what_the_instrument_saw(seen, four_stars):
    found = drawn(seen, is_natural=True)
    assert found.terms is not None
    assert found.system_name == "Pan-STARRS, natural"
    rows = {row["source_id"]: row for row in found.stars.iter_rows(named=True)}
    for star, (g, r, i) in four_stars.stars.items():
        assert rows[star]["mag"] == pytest.approx(TERMS.natural("r", r, g - i), abs=1e-9)
        blue, red = (TERMS.natural(band, mag, g - i) for band, mag in (("g", g), ("i", i)))
        assert rows[star]["colour"] == pytest.approx(blue - red, abs=1e-9)
        assert found.terms.standard_colour(blue, red) == pytest.approx(g - i, abs=1e-9)


def test_an_isochrone_fits_a_natural_diagram_as_a_standard_one(seen):
    tracks = {}
    wanted = Wanted(distance_pc=7200.0, a_v_mag=0.3)
    for is_natural in (False, True):
        diagram = drawn(seen, is_natural=is_natural)
        with seen.reading() as con:
            problem = make_problem(diagram, load_grids(con, diagram), wanted, fit=False)
        tracks[is_natural] = problem.track(problem.values)
    plain, natural = tracks[False], tracks[True]
    expected = TERMS.natural("r", plain.mag, plain.colour)
    np.testing.assert_allclose(natural.mag, expected, rtol=0, atol=1e-6)
    assert np.abs(natural.colour - plain.colour).max() > 0.03
    expected = plain.colour - (0.05 + 0.03) * (plain.colour - 0.8)
    np.testing.assert_allclose(natural.colour, expected, rtol=0, atol=1e-6)


def test_natural_magnitudes_that_make_no_sense_are_refused(build, seen, four_stars, capsys):
    diagram = drawn(seen, colour="g-r", is_natural=True)
    with seen.reading() as con:
        with pytest.raises(UsageError, match="terms are in g-i, the isochrones in g-r"):
            load_grids(con, diagram)
        with pytest.raises(UsageError, match="is_natural: limits on measurements"):
            catalogue_diagram(
                con, "sdss", colour="g-i", mag_band="r", selection=Selection(is_natural=True)
            )
    words = ["M 13", "--colour", "g-i", "--mag", "r", "--natural"]
    assert main(["-w", str(seen.folder), "cmd", *words, "--distance", "7200"]) == 0
    assert "Pan-STARRS, natural" in capsys.readouterr().out


def test_without_zero_points_there_is_nothing_natural(build, four_stars):
    tables = four_stars.night()
    del tables["zero_point"]
    with pytest.raises(UsageError, match="leave --natural out"):
        drawn(build(tables), is_natural=True)
