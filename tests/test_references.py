"""Catalogues from files: what their columns are, units, missing values, duplicates, bad input."""

import gzip
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from astropy import units as u
from astropy.table import MaskedColumn, Table

from starmuster.errors import UsageError
from starmuster.ingest.catalogue_columns import find_profile, read_mapping
from starmuster.ingest.catalogue_files import RawTable, read_table
from starmuster.ingest.references import Catalogue, read_catalogue

STARS = """ra_deg,dec_deg,gmag,e_gmag,rmag
150.1,20.1,15.1,0.01,14.8
150.2,20.2,16.2,0.02,-999
150.3,20.3,nan,0.0,14.9
"""


def read(path: Path, name: str, mapping: Path | None = None) -> Catalogue:
    rules = read_mapping(mapping) if mapping else None
    return read_catalogue(read_table(path), name, mapping=rules, source=path.name)


def written(tmp_path: Path, text: str, name: str = "stars.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def mags(catalogue: Catalogue, band: str) -> list[float]:
    return catalogue.magnitudes.filter(band=band).sort("star")["mag"].to_list()


def field(n: int = 50) -> Table:
    rng = np.random.default_rng(4)
    table = Table()
    table["RA_ICRS"] = rng.uniform(359.9, 360.1, n) % 360 * u.deg
    table["DE_ICRS"] = rng.uniform(-0.1, 0.1, n) * u.deg
    table["pmRA"] = rng.normal(0, 5, n) * u.mas / u.yr
    table["pmDE"] = rng.normal(0, 5, n) * u.mas / u.yr
    table["Source"] = np.arange(n) + 4_000_000_000_000_000_000
    faint = np.arange(n) % 7 == 0
    table["Gmag"] = MaskedColumn(rng.uniform(10, 20, n), mask=faint, unit=u.mag)
    return table


WRITERS = {
    "ecsv": lambda table, path: table.write(path, format="ascii.ecsv"),
    "vot": lambda table, path: table.write(path, format="votable"),
    "fits": lambda table, path: table.write(path),
    "parquet": lambda table, path: table.write(path),
}


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_catalogue_is_the_same_stars_in_every_format(tmp_path, suffix):
    table = field()
    path = tmp_path / f"stars.{suffix}"
    WRITERS[suffix](table, path)
    got = read(path, "gaia-dr3")
    assert got.stars["star_name"].to_list() == [str(number) for number in table["Source"]]
    assert got.stars["ra_deg"].to_list() == table["RA_ICRS"].tolist()
    assert got.stars["pm_dec_mas_per_yr"].to_list() == table["pmDE"].tolist()
    assert set(got.stars["epoch_jyear"]) == {2016.0}
    assert got.magnitudes.height == (~table["Gmag"].mask).sum()
    assert mags(got, "G") == table["Gmag"].compressed().tolist()
    assert set(got.magnitudes["photometric_system"]) == {"Gaia DR3"}


def test_missing_values_become_null_whatever_they_are_written_as(tmp_path):
    got = read(written(tmp_path, STARS), "panstarrs")
    assert mags(got, "g") == [15.1, 16.2]
    assert mags(got, "r") == [14.8, 14.9]
    assert got.magnitudes.filter(band="g")["mag_err"].to_list() == [0.01, 0.02]
    assert any("gmag: missing in 1 of 3 rows" in note for note in got.notes)


@pytest.mark.parametrize("missing", ["-9999", "99.99", "", "NaN", "--", "inf", "99.999"])
def test_no_placeholder_is_taken_for_a_magnitude(tmp_path, missing):
    text = f"ra_deg,dec_deg,V_mag\n150,20,15.5\n150.1,20.1,{missing}\n"
    assert mags(read(written(tmp_path, text), "apass"), "V") == [15.5]


@pytest.mark.parametrize(
    ("column", "value", "mag"),
    [("V_mag", "15.5", 15.5), ("V_mmag", "15500", 15.5), ("Vmag [mmag]", "15500", 15.5)],
)
def test_units_in_the_names_are_heeded(tmp_path, column, value, mag):
    text = f"ra_deg,dec_deg,{column}\n150,20,{value}\n"
    assert mags(read(written(tmp_path, text), "apass"), "V") == [mag]


def test_proper_motions_in_other_units_are_turned_into_ours(tmp_path):
    table = field(5)
    table["pmRA"] = (table["pmRA"].quantity).to(u.arcsec / u.yr)
    table.write(tmp_path / "stars.fits")
    got = read(tmp_path / "stars.fits", "gaia-dr3")
    np.testing.assert_allclose(got.stars["pm_ra_mas_per_yr"], 1000 * table["pmRA"])


def test_sexagesimal_positions_are_hours_and_degrees(tmp_path):
    text = "Name,RAJ2000,DEJ2000,Vmag\nA,09 02 12.00,-49 49 12.0,12\nB,10:00:00,+00:30:00,13\n"
    got = read(written(tmp_path, text), "apass")
    np.testing.assert_allclose(got.stars["ra_deg"], [135.55, 150], atol=1e-9)
    np.testing.assert_allclose(got.stars["dec_deg"], [-49.82, 0.5], atol=1e-9)


def test_the_units_row_of_vizier_is_read(tmp_path):
    text = (
        "# VizieR\n#\nRAJ2000\tDEJ2000\tVmag\ndeg\tdeg\tmmag\n------\t------\t------\n"
        "150.0\t20.0\t15500\n150.1\t20.1\t\n"
    )
    got = read(written(tmp_path, text, "stars.tsv"), "apass")
    assert got.stars.height == 2
    assert mags(got, "V") == [15.5]


def test_atlas_refcat2_is_on_the_pan_starrs_system_and_derived_bands_say_so(tmp_path):
    text = "ra_deg,dec_deg,raw_g,raw_G,V_mag\n150,20,15.5,15.2,15.3\n"
    got = read(written(tmp_path, text), "refcat2").magnitudes.sort("band")
    rows = got.select("band", "photometric_system", "is_derived").rows()
    assert rows == [
        ("G", "Gaia DR2", False),
        ("V", "Johnson-Cousins", True),
        ("g", "Pan-STARRS", False),
    ]


def test_a_band_of_unknown_system_is_refused_with_its_column(tmp_path):
    path = written(tmp_path, "ra_deg,dec_deg,raw_g,Gmag\n150,20,15.5,15\n")
    with pytest.raises(UsageError, match=r"'raw_g' is a magnitude g.*Pan-STARRS and SDSS differ"):
        read(path, "gaia-dr3")


def test_rows_of_one_star_are_merged_and_counted(tmp_path):
    text = "ra,dec,g\n" + "".join(
        f"{150 + shift / 3600:.7f},20.0000000,{g}\n"
        for shift, g in [(0, 15.0), (0.1, 15.02), (0.2, 15.01), (3, 17.0)]
    )
    got = read(written(tmp_path, text), "sdss")
    assert (got.stars.height, got.n_row, got.n_duplicate) == (2, 4, 2)
    assert mags(got, "g") == [15.01, 17.0]
    assert "2 duplicate rows merged with the star they repeat" in got.notes


def test_close_stars_of_different_names_stay_two(tmp_path):
    text = "Source,RA_ICRS,DE_ICRS,Gmag\n1234,0.00002,89.9999,12\n1240,359.99999,89.9999,14\n"
    assert read(written(tmp_path, text), "gaia-dr3").stars.height == 2


def test_numbers_of_rows_are_no_names(tmp_path):
    text = "id,ra_deg,dec_deg\nonline_0,150,20\nonline_1,151,20\n"
    assert read(written(tmp_path, text), "vsx").stars["star_name"].null_count() == 2


def test_a_list_without_positions_is_kept_and_says_so(tmp_path):
    text = "parallax,phot_g_mean_mag,bp_rp\n1.1,14.4,0.8\n1.0,15.4,0.9\n"
    got = read(written(tmp_path, text), "gaia-dr3")
    assert not got.has_position
    assert got.stars["healpix"].null_count() == 2
    assert mags(got, "BP-RP") == [0.8, 0.9]
    assert any("cannot be matched" in note for note in got.notes)


def test_a_row_without_a_position_among_others_is_left_out_and_counted(tmp_path):
    text = "RA_ICRS,DE_ICRS,Gmag\n150,20,14\n,,15\n"
    got = read(written(tmp_path, text), "gaia-dr3")
    assert (got.stars.height, got.n_unplaced, mags(got, "G")) == (1, 1, [14.0])


def test_variables_keep_type_period_and_amplitude(tmp_path):
    text = (
        "Name,V,Type,max,n_max,f_min,min,n_min,Period,RAJ2000,DEJ2000\n"
        "A,0,EA,12.0,V,,12.7,V,1.5,150,20\nB,1,,14.0,g,Y,0.3,g,,151,20\nC,2,CST,9,V,,,,,152,20\n"
    )
    got = read(written(tmp_path, text), "vsx").variables
    assert got["variability"].to_list() == ["variable", "suspected", "constant"]
    assert got["min_mag"].to_list() == [12.7, None, None]
    np.testing.assert_allclose(got["amplitude_mag"][:2], [0.7, 0.3])
    assert got["period_d"].to_list() == [1.5, None, None]


def test_a_mapping_file_tells_what_no_convention_does(tmp_path):
    text = "Alpha,Delta,m1,s1,star\n10.0,-20,15500,20,X 1\n-1,-21,14000,10,X 2\n"
    mapping = written(
        tmp_path,
        """epoch_jyear = 1991.25
missing = [-1]
[columns]
ra_deg = { column = "Alpha", unit = "hourangle" }
dec_deg = { column = "Delta", unit = "deg" }
star_name = "star"
[magnitudes.V]
column = "m1"
error = "s1"
unit = "mmag"
system = "Johnson-Cousins"
""",
        "mine.toml",
    )
    got = read(written(tmp_path, text), "my survey", mapping)
    assert got.name == "my-survey"
    assert got.stars.select("star_name", "epoch_jyear").rows() == [("X 1", 1991.25)]
    assert got.stars["ra_deg"][0] == pytest.approx(150)
    assert got.n_unplaced == 1
    assert got.magnitudes.select("mag", "mag_err", "photometric_system").rows() == [
        (15.5, 0.02, "Johnson-Cousins")
    ]


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ('[columns]\nra_deg = "Alfa"', "no column 'Alfa'.*Did you mean 'Alpha'"),
        ('[columns]\nright = "Alpha"', r"columns\.right is no quantity"),
        ('[column]\nra_deg = "Alpha"', "column: Extra inputs"),
        ('[magnitudes.V]\ncolumn = "m1"', "magnitudes.V.system: Field required"),
        ("epoch_jyear = ", "expected a mapping file"),
    ],
)
def test_a_mapping_file_that_does_not_fit_says_where(tmp_path, mapping, message):
    path = written(tmp_path, "Alpha,Delta,m1\n150,20,15\n")
    with pytest.raises(UsageError, match=message):
        read(path, "mine", written(tmp_path, mapping, "mine.toml"))


BAD = {
    "": "empty; expected a table",
    "\n\n": "empty; expected",
    "# only a comment\n": "nothing but comments",
    "ra_deg,dec_deg,V_mag\n": "no rows below 3 columns",
    "ra_deg\n150\n": "expected the names of two columns",
    "150,20,15\n151,21,16\n": "expected the names of two columns",
    "ra_deg,ra_deg,dec_deg\n1,1,1\n": "ra_deg is there twice",
    "ra_deg,dec_deg,V_mag\n150,20,15\n150.1,2": "its last line has 2 cells, 3 expected: cut off",
    "ra_deg,V_mag\n150,15\n": "a column of RA, none of Dec",
    "RA_degrees,DE_degrees,flux\n1,2,3\n": "neither positions nor magnitudes",
    "ra_deg,dec_deg,V_mag\n150,20,faint\n": "'V_mag' has 'faint' in row 1; expected numbers",
    "ra,dec,V_mag\n10.5,20,15\n11.5,21,15\n": "'ra' states no unit, and with values up to 11.5",
    "ra_deg,dec_deg,V\n150,20,15500\n151,20,14500\n": r"'V' is read as mag V.*mmag, or a flux",
    "ra_deg,dec_deg,V_mag\n150,120,15\n": "'dec_deg' has 120 deg in row 1; expected -90 to 90",
    "ra_deg,dec_deg,V_mag\n1500,20,15\n": "'ra_deg' has 1500 deg",
    "ra_deg,dec_deg,V [Jy],B_mag\n150,20,15,15\n": "'V .Jy.' is in 'Jy'; expected mag",
    "ra_deg,dec_deg,pmra,pmdec\n150,20,1.5,2\n": "'pmra' states no unit",
}


@pytest.mark.parametrize("text", BAD)
def test_a_catalogue_that_cannot_be_understood_says_why(tmp_path, text):
    with pytest.raises(UsageError, match=BAD[text]):
        read(written(tmp_path, text), "apass")


def test_names_that_are_nearly_known_are_suggested(tmp_path):
    path = written(tmp_path, "RA_ICSR,DE_ICSR,flux\n1,2,3\n")
    with pytest.raises(UsageError, match="'RA_ICSR' like 'RA_ICRS'"):
        read(path, "gaia-dr3")
    with pytest.raises(UsageError, match="Did you mean 'panstarrs'"):
        find_profile("panstars")


def test_hours_are_not_taken_for_degrees_when_an_archive_defines_the_name(tmp_path):
    text = "source_id,ra,dec,pmra,pmdec,phot_g_mean_mag\n123,10.5,20,1.5,2,15\n"
    got = read(written(tmp_path, text), "gaia-dr3")
    assert got.stars["ra_deg"][0] == 10.5
    assert got.stars["pm_ra_mas_per_yr"][0] == 1.5


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_file_that_was_cut_off_is_refused(tmp_path, suffix):
    path = tmp_path / f"stars.{suffix}"
    WRITERS[suffix](field(500), path)
    path.write_bytes(path.read_bytes()[: -path.stat().st_size // 3])
    with pytest.raises(UsageError, match=r"[Cc]ut off"):
        read_table(path)


def test_other_files_are_refused(tmp_path):
    binary = tmp_path / "stars.csv.gz"
    binary.write_bytes(gzip.compress(STARS.encode()))
    with pytest.raises(UsageError, match="expected CSV, ECSV"):
        read_table(binary)
    with pytest.raises(UsageError, match="No such file"):
        read_table(tmp_path / "nowhere.csv")
    with pytest.raises(UsageError, match="Is a directory"):
        read_table(tmp_path)


# File, catalogue, stars, and for each magnitude column of the file its band and system.
REAL = [
    (
        "ae_uma/atlas_refcat2_60arcmin.csv",
        "atlas-refcat2",
        2326,
        {
            "raw_g": ("g", "Pan-STARRS"),
            "raw_r": ("r", "Pan-STARRS"),
            "raw_G": ("G", "Gaia DR2"),
            "V_mag": ("V", "Johnson-Cousins"),
            "B_mag": ("B", "Johnson-Cousins"),
        },
    ),
    (
        "ae_uma/gaia_dr3_15arcmin.csv",
        "gaia-dr3",
        192,
        {
            "raw_G": ("G", "Gaia DR3"),
            "raw_BP": ("BP", "Gaia DR3"),
            "raw_RP": ("RP", "Gaia DR3"),
            "raw_g": ("g", None),
        },
    ),
    ("ae_uma/vsx_60arcmin.csv", "vsx", 122, {}),
    (
        "ey_uma/all_apass_ey_uma.ecsv",
        "apass",
        54,
        {
            "Vmag": ("V", "Johnson-Cousins"),
            "Bmag": ("B", "Johnson-Cousins"),
            "g'mag": ("g", "SDSS"),
            "r'mag": ("r", "SDSS"),
            "i'mag": ("i", "SDSS"),
        },
    ),
    (
        "ey_uma/all_refcat2_ey_uma.ecsv",
        "atlas-refcat2",
        187,
        {f"{band}mag": (band, "Pan-STARRS") for band in "griz"}
        | {f"{band}mag": (band, "Gaia DR2") for band in ("G", "BP", "RP")}
        | {f"{band}mag": (band, "2MASS") for band in "JHK"},
    ),
    ("ey_uma/test_vsx_table.ecsv", "vsx", 4, {}),
    (
        "m67/gaia_members.csv",
        "gaia-dr3",
        940,
        {"phot_g_mean_mag": ("G", "Gaia DR3"), "bp_rp": ("BP-RP", "Gaia DR3")},
    ),
    (
        "ngc188/gaia_members.csv",
        "gaia-dr3",
        1073,
        {"phot_g_mean_mag": ("G", "Gaia DR3"), "bp_rp": ("BP-RP", "Gaia DR3")},
    ),
]


def by_hand(path: Path) -> Table:
    if path.suffix == ".ecsv":
        return Table.read(path, format="ascii.ecsv")
    return Table.read(path, format="ascii.csv", comment="#")


@pytest.mark.real
@pytest.mark.parametrize(("name", "catalogue", "n_star", "bands"), REAL)
def test_a_real_catalogue_holds_what_its_file_does(real_data, name, catalogue, n_star, bands):
    path = real_data / "refcat" / name
    got, table = read(path, catalogue), by_hand(path)
    assert (got.stars.height, got.n_row, got.n_duplicate) == (n_star, len(table), 0)
    for column, (band, system) in bands.items():
        values = np.ma.filled(np.ma.asarray(table[column]).astype(float), np.nan)
        found = got.magnitudes.filter(band=band)
        assert found.height == np.isfinite(values).sum(), column
        assert set(found["photometric_system"]) == ({system} if found.height else set())
        np.testing.assert_array_equal(
            np.sort(found["mag"].to_numpy()), np.sort(values[np.isfinite(values)])
        )
    assert set(got.magnitudes["band"]) <= {band for band, _ in bands.values()} | {"B", "V"}
    if got.has_position:
        ra = next(c for c in ("ra_deg", "RA_ICRS", "RAJ2000") if c in table.colnames)
        np.testing.assert_array_equal(got.stars["ra_deg"].to_numpy(), np.asarray(table[ra]))


@pytest.mark.real
def test_repeated_measurements_of_sdss_are_one_star(real_data):
    path = real_data / "refcat" / "m67" / "sdss.csv"
    got, table = read(path, "sdss"), by_hand(path)
    assert got.n_row == len(table) == 10304
    assert got.stars.height + got.n_duplicate == got.n_row
    # no two of them are nearer than what SDSS resolves, but for chains that began further apart
    place = np.stack([got.stars["ra_deg"] * np.cos(np.radians(11.8)), got.stars["dec_deg"]], -1)
    assert 5000 < got.stars.height < 7000
    from scipy.spatial import KDTree

    assert not KDTree(place * 3600).query_pairs(0.299)
    # the one -9999 among the r magnitudes is no magnitude of its star
    assert got.magnitudes["mag"].min() > 8


@pytest.mark.real
def test_real_lists_without_positions_say_that_they_cannot_be_matched(real_data):
    for cluster in ("m67", "ngc188"):
        got = read(real_data / "refcat" / cluster / "gaia_members.csv", "gaia-dr3")
        assert not got.has_position
        assert got.stars["parallax_mas"].null_count() == 0


def test_text_columns_of_numbers_keep_their_digits():
    raw = RawTable(
        pl.DataFrame({"Source": [2**62 + 1], "RA_ICRS": [1.0], "DE_ICRS": [2.0], "Gmag": [12.0]}),
        {"RA_ICRS": "deg", "DE_ICRS": "deg"},
    )
    got = read_catalogue(raw, "gaia-dr3", source="memory")
    assert got.stars["star_name"][0] == str(2**62 + 1)


def test_the_mapping_file_of_the_documentation_is_one(tmp_path):
    page = Path(__file__).parents[1] / "docs" / "catalogues.md"
    (example,) = re.findall(r"^```\n(epoch_jyear.*?)^```", page.read_text(), re.M | re.DOTALL)
    mapping = written(tmp_path, example, "mine.toml")
    text = "id,alpha,delta,mu_a,mu_d,v1,s1\nX,10,20,0.1,-0.2,15500,20\n"
    got = read(written(tmp_path, text), "mine", mapping)
    assert got.stars["pm_ra_mas_per_yr"][0] == pytest.approx(100)
    assert mags(got, "V") == [15.5]
