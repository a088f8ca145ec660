"""The configuration: what is refused, and what a fingerprint follows."""

import pytest

from starmuster.errors import ConfigError
from starmuster.warehouse.config import TEMPLATE, Config, read_config


@pytest.fixture
def read(tmp_path):
    """Write a text as configuration and read it."""

    def reader(text: str) -> Config:
        path = tmp_path / "starmuster.toml"
        path.write_text(text, encoding="utf-8")
        return read_config(path)

    return reader


def test_the_template_says_nothing_but_the_defaults(read):
    assert read(TEMPLATE) == Config()


def test_every_line_of_the_template_may_be_uncommented(read):
    lines = [
        line.removeprefix("# ")
        if line.startswith(("# [", "# ")) and ("=" in line or "[" in line)
        else line
        for line in TEMPLATE.splitlines()
    ]
    config = read("\n".join(lines))
    assert config.site is not None
    assert config.site.longitude_deg == 7.1
    assert config.camera["QHY600M"].aperture_m == 0.356
    assert config.photometry.apertures_arcsec == (4, 6, 8, 10)


def test_values_are_taken(read):
    config = read(
        '[camera."QHY600M"]\ngain_e_per_adu = 0.77\n'
        '[camera."QHY600M".site]\nlatitude_deg = -30\nlongitude_deg = 290\n'
        "[masters]\nscale_darks = false\n"
        '[keywords.exposure_s]\nadd = ["BELICHT"]\n'
    )
    assert config.camera["QHY600M"].gain_e_per_adu == 0.77
    site = config.camera["QHY600M"].site
    assert site is not None
    assert site.latitude_deg == -30
    assert config.masters.scale_darks is False
    assert config.keywords == {"exposure_s": {"add": ["BELICHT"]}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[master]\n", "unknown key 'master'; did you mean 'masters'?"),
        ("[masters]\nlow_sgma = 3\n", "unknown key 'masters.low_sgma'; did you mean 'low_sigma'?"),
        (
            '[camera."X"]\ngain_e_per_adc = 1\n',
            "unknown key 'camera.X.gain_e_per_adc'; did you mean 'gain_e_per_adu'?",
        ),
        (
            '[camera."X".site]\nlatitude = 1\nlongitude_deg = 1\n',
            "did you mean 'latitude_deg'?",
        ),
        (
            "[masters]\napertures_arcsec = [4]\n",
            "unknown key 'masters.apertures_arcsec'; did you mean 'photometry.apertures_arcsec'?",
        ),
        (
            "[ensemble]\nqqqq = 4\n",
            "known here: max_brighter_mag, max_fainter_mag, max_redder_mag, max_star",
        ),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(read, text, message):
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert message in str(caught.value)
    assert "starmuster.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[site]\nlatitude_deg = 91\nlongitude_deg = 0\n", "site.latitude_deg = 91"),
        ("[photometry]\napertures_arcsec = [4, -6]\n", "photometry.apertures_arcsec.1 = -6"),
        ("[masters]\nlow_sigma = inf\n", "masters.low_sigma = inf"),
        ("[masters]\nmax_days = nan\n", "masters.max_days = nan"),
        ("[masters]\nmax_days = 'long'\n", "masters.max_days = 'long'"),
        ("[site]\nlongitude_deg = 0\n", "site.latitude_deg"),
    ],
)
def test_a_value_that_is_off_is_told_with_its_key(read, text, message):
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert message in str(caught.value)


def test_what_is_not_toml_is_told_with_its_line(read):
    with pytest.raises(ConfigError, match="line 2"):
        read("[masters]\nmax_days == 7\n")


def test_what_is_not_text_is_told(tmp_path):
    path = tmp_path / "starmuster.toml"
    path.write_bytes(b"\xff\xfe[\x00")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_config(path)


def test_a_configuration_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        read_config(tmp_path / "nowhere.toml")


def test_a_fingerprint_follows_the_values_and_only_those(read):
    plain = read("").photometry.fingerprint()
    assert read("# a remark\n[photometry]\n").photometry.fingerprint() == plain
    same = "[photometry]\napertures_arcsec = [4, 6, 8, 10]\nannulus_inner_fwhm = 4\n"
    assert read(same).photometry.fingerprint() == plain
    assert read("[masters]\nmax_days = 7\n").photometry.fingerprint() == plain
    for changed in ("apertures_arcsec = [4, 6, 8]", "annulus_inner_fwhm = 4.5"):
        assert read(f"[photometry]\n{changed}\n").photometry.fingerprint() != plain
