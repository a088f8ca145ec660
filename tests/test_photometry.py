"""Fluxes against the truth of synthetic stars, and against photutils."""

import numpy as np
import polars as pl
import pytest
from photutils.aperture import CircularAnnulus, CircularAperture
from scipy.special import erf

from starmuster.errors import PhotometryError
from starmuster.ingest.synthetic_pixels import render_stars
from starmuster.transforms.apertures import annulus_skies, circle_sums, pixel_overlap
from starmuster.transforms.background import mesh_background
from starmuster.transforms.blending import blending
from starmuster.transforms.flags import Flag
from starmuster.transforms.mask import PixelMask
from starmuster.transforms.photometry import forced_photometry
from starmuster.transforms.photometry_rows import APERTURE_FLUX_SCHEMA, MEASUREMENT_SCHEMA
from starmuster.transforms.shapes import SIGMA_PER_FWHM

FWHM = 3.5
STAR_SIGMA = FWHM / 2.3548
# pixels widen a Gaussian by the variance of a box
SEEN_FWHM = 2.3548 * np.hypot(STAR_SIGMA, 12**-0.5)
NO_BITS = np.zeros((0, 0), dtype=np.uint8)
APERTURES = {1: 4.0, 2: 6.0, 3: 8.0}
ANNULUS = {"annulus_inner_pix": 12.0, "annulus_outer_pix": 18.0, "fwhm_pix": FWHM}


def gaussian_stars(x, y, flux, shape):
    """Round Gaussian stars integrated over pixels, exactly."""
    image = np.zeros(shape)
    reach = 20
    for x0, y0, f in zip(x, y, flux, strict=True):
        j0, i0 = max(0, round(y0) - reach), max(0, round(x0) - reach)
        rows = np.arange(j0, min(shape[0], round(y0) + reach + 1))
        columns = np.arange(i0, min(shape[1], round(x0) + reach + 1))
        profile = [
            0.5 * (erf((p + 0.5 - c) / a) - erf((p - 0.5 - c) / a))
            for p, c in ((rows, y0), (columns, x0))
            for a in (STAR_SIGMA * np.sqrt(2),)
        ]
        image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] += f * np.outer(*profile)
    return image


def sources(x, y, flux=None):
    flux = np.full(len(x), 1000.0) if flux is None else flux
    return pl.DataFrame(
        {"source_id": np.arange(len(x)) + 7, "x_pix": x, "y_pix": y, "flux_adu": flux}
    )


def measure(image, x, y, flux=None, **options):
    return forced_photometry(
        image, sources(x, y, flux), apertures=APERTURES, **{**ANNULUS, **options}
    )


def flags_of(rows, aperture_id):
    return rows.filter(pl.col("aperture_id") == aperture_id)["flags"].to_numpy()


@pytest.mark.parametrize("radius_pix", [0.1, 0.4, 0.71, 1.0, 3.3, 12.0])
def test_an_aperture_over_ones_sums_to_its_area(radius_pix):
    x, y = np.random.default_rng(1).uniform(20, 30, (2, 200))
    total, area, lost, met = circle_sums(
        np.ones((50, 50)), NO_BITS, PixelMask.BAD.value, x, y, np.array([radius_pix])
    )
    np.testing.assert_allclose(total, np.pi * radius_pix**2, rtol=1e-12)
    np.testing.assert_allclose(area, total, rtol=1e-12)
    assert not lost.any()
    assert not met.any()


def test_overlap_of_a_pixel_is_that_of_a_fine_grid():
    step = (np.arange(400) + 0.5) / 400 - 0.5
    rng = np.random.default_rng(2)
    for dx, dy, r in zip(*rng.uniform(-2, 2, (2, 40)), rng.uniform(0.2, 2.5, 40), strict=True):
        inside = (dx + step)[None, :] ** 2 + (dy + step)[:, None] ** 2 < r**2
        assert pixel_overlap(dx, dy, r) == pytest.approx(inside.mean(), abs=2e-3)


def test_sums_equal_the_exact_method_of_photutils():
    rng = np.random.default_rng(3)
    image = rng.normal(1000, 30, (200, 220))
    x, y = rng.uniform(-3, 222, 300), rng.uniform(-3, 202, 300)
    radius = np.array([0.6, 2.5, 4.0, 9.7])
    ours = circle_sums(image, NO_BITS, PixelMask.BAD.value, x, y, radius)[0]
    for k, r in enumerate(radius):
        theirs, _ = CircularAperture(np.column_stack([x, y]), r).do_photometry(image)
        np.testing.assert_allclose(ours[:, k], np.nan_to_num(theirs), rtol=1e-6, atol=1e-9)


def test_the_annulus_holds_the_pixels_that_photutils_counts():
    rng = np.random.default_rng(4)
    image = rng.normal(500, 8, (300, 300))
    x, y = rng.uniform(30, 270, (2, 50))
    level, sigma, n_kept, n_whole = annulus_skies(image, NO_BITS, 3, x, y, 10.0, 16.0)
    rings = CircularAnnulus(np.column_stack([x, y]), 10, 16).to_mask(method="center")
    for k, ring in enumerate(rings):
        values = ring.get_values(image)
        assert n_whole[k] == values.size
        assert level[k] == pytest.approx(np.median(values), abs=8 * 0.2)
        assert 0.95 * values.size < n_kept[k] <= values.size
    assert np.mean(sigma) == pytest.approx(8, rel=0.02)


def test_stars_in_the_annulus_hardly_lift_the_sky():
    rng = np.random.default_rng(5)
    here = np.array([50.0])
    lift, mean_lift = [], []
    for _ in range(60):
        image = rng.normal(100, 5, (101, 101))
        angle = rng.uniform(0, 2 * np.pi, 3)
        x, y = 50 + 16 * np.cos(angle), 50 + 16 * np.sin(angle)
        stars = gaussian_stars(x, y, [5e3] * 3, image.shape)
        clean, dirty = (
            annulus_skies(a, NO_BITS, 3, here, here, 12.0, 20.0)[0][0]
            for a in (image, image + stars)
        )
        lift.append(dirty - clean)
        mean_lift.append(stars.sum() / (np.pi * (20**2 - 12**2)))
    assert 0 < np.mean(lift) < 0.05 * np.mean(mean_lift)


def test_the_sky_of_integers_is_finer_than_an_integer():
    rng = np.random.default_rng(12)
    x, y = (a.ravel().astype(float) for a in np.mgrid[30:470:40, 30:470:40])
    image = np.rint(rng.normal(350.3, 1.2, (500, 500))).astype(np.int16).astype(np.float32)
    level, sigma, n_kept, _ = annulus_skies(image, NO_BITS, 3, x, y, 10.0, 18.0)
    noise = np.sqrt(1.19 * (1.2**2 + 1 / 12) / n_kept.mean())
    assert np.std(level - 350.3) == pytest.approx(noise, rel=0.25)
    # whole bins fall to one side or the other of the quartiles; a median would be 0.3 off
    assert abs(np.mean(level) - 350.3) < 0.1
    assert np.mean(sigma) == pytest.approx(np.hypot(1.2, 12**-0.5), rel=0.03)


def test_pulls_of_fluxes_are_standard_normal():
    """Error model of DESIGN.md section 9, on 5,800 stars from sky-limited to bright."""
    gain, sky_e, read_noise_e, shape = 1.6, 120.0, 6.0, (1000, 1000)
    rng = np.random.default_rng(6)
    y, x = (a.ravel() + rng.uniform(-0.5, 0.5, a.size) for a in np.mgrid[40:960:42, 40:960:42])
    flux_e = 10 ** rng.uniform(2.5, 5.5, x.size)
    expected = gaussian_stars(x, y, flux_e, shape) + sky_e
    radius = np.array(list(APERTURES.values()))
    circles = [CircularAperture(np.column_stack([x, y]), r) for r in radius]
    truth = np.column_stack([c.do_photometry(expected - sky_e)[0] for c in circles]) / gain
    pulls = []
    for _ in range(12):
        electrons = rng.poisson(expected) + rng.normal(0, read_noise_e, shape)
        result = measure(electrons / gain, x, y)
        flux = result.aperture_flux["flux_adu"].to_numpy().reshape(truth.shape)
        n_pix = result.aperture_flux["n_pix"].to_numpy().reshape(truth.shape)
        s = result.measurement["sky_rms_adu"].to_numpy()[:, None]
        n_sky = result.measurement["n_sky_pix"].to_numpy()[:, None]
        variance = np.maximum(flux, 0) / gain + n_pix * (1 + 1.19 * n_pix / n_sky) * s**2
        # the midmean of a Poisson sky lies below its mean by its skewness, mu_3 / (6 variance),
        # times what the middle half leaves of it, 0.857
        low_sky = 0.857 * sky_e / (6 * (sky_e + read_noise_e**2)) / gain
        pulls.append((flux - truth - n_pix * low_sky) / np.sqrt(variance))
    pulls = np.concatenate(pulls)
    assert len(pulls) > 5000
    for k in range(radius.size):
        assert abs(pulls[:, k].mean()) < 0.05
        assert 0.95 < pulls[:, k].std() < 1.05


def test_rows_have_the_columns_of_the_tables_and_no_nan():
    rng = np.random.default_rng(7)
    x, y = rng.uniform(-10, 110, (2, 300))
    result = measure(rng.normal(100, 5, (100, 100)), x, y)
    assert dict(result.measurement.schema) == MEASUREMENT_SCHEMA
    assert dict(result.aperture_flux.schema) == APERTURE_FLUX_SCHEMA
    for rows in (result.measurement, result.aperture_flux):
        floats = rows.select(pl.selectors.float())
        assert not floats.select(pl.any_horizontal(pl.all().is_nan().any())).item()
    inside = (np.abs(x - 49.5) <= 50) & (np.abs(y - 49.5) <= 50)
    assert result.measurement.height == inside.sum()
    assert result.n_off_frame == (~inside).sum()
    assert result.aperture_flux.height == 3 * result.measurement.height


def test_saturated_and_bad_pixels_flag_the_apertures_they_are_in():
    image = np.random.default_rng(8).normal(100, 5, (200, 200))
    mask = np.zeros(image.shape, dtype=np.uint8)
    mask[50, 55] = PixelMask.SATURATED  # 5 pixels from the first star
    mask[100, 107] = PixelMask.BAD  # 7 from the second
    image[100, 107] = 1e9
    x, y = np.array([50.0, 100.0, 150.0]), np.array([50.0, 100.0, 150.0])
    result = measure(image, x, y, mask=mask)
    assert flags_of(result.aperture_flux, 1).tolist() == [0, 0, 0]
    assert flags_of(result.aperture_flux, 2).tolist() == [Flag.SATURATED, 0, 0]
    # hardly any light is 7 pixels from a star: told, and no reason to distrust the flux
    assert flags_of(result.aperture_flux, 3).tolist() == [Flag.SATURATED, Flag.PARTLY_MASKED, 0]
    area = result.aperture_flux.filter(pl.col("aperture_id") == 3)["n_pix"].to_numpy()
    np.testing.assert_allclose(area, np.pi * 64 - np.array([0, 1, 0]), rtol=1e-6)
    assert result.aperture_flux["flux_adu"].abs().max() < 1000
    assert result.measurement["flags"].to_list() == [0, 0, 0]


def test_a_boolean_mask_and_nan_pixels_are_bad_pixels_alike():
    image = np.random.default_rng(9).normal(100, 5, (100, 100))
    mask = np.zeros(image.shape, dtype=bool)
    mask[50, 50] = True
    masked = measure(image, [50.0], [50.0], mask=mask)
    image[50, 50] = np.nan
    missing = measure(image, [50.0], [50.0])
    assert masked.aperture_flux.equals(missing.aperture_flux)
    assert masked.measurement["flags"][0] == Flag.BAD_PIXEL | Flag.PARTLY_MASKED


def test_stars_at_the_edge_are_flagged_and_their_area_is_what_was_seen():
    image = np.full((100, 100), 10.0)
    result = measure(image, [3.0, -0.4, 15.0, 50.0], [50.0, 20.0, 80.0, 50.0])
    off, partly = Flag.OFF_FRAME.value, Flag.PARTLY_MASKED.value
    assert flags_of(result.aperture_flux, 1).tolist() == [partly, off | partly, 0, 0]
    assert flags_of(result.aperture_flux, 3).tolist() == [off | partly, off | partly, 0, 0]
    edge = Flag.EDGE.value
    assert [f & edge for f in result.measurement["flags"]] == [edge, edge, edge, 0]
    area = result.aperture_flux["n_pix"].to_numpy().reshape(4, 3)
    # the frame ends half a pixel beyond the first pixel's centre, 3.5 from the first star
    r, d = 8.0, 3.5
    segment = r**2 * np.arccos(d / r) - d * np.sqrt(r**2 - d**2)
    assert area[0, 2] == pytest.approx(np.pi * r**2 - segment, rel=1e-6)
    flux = result.aperture_flux["flux_adu"].to_numpy().reshape(4, 3)
    np.testing.assert_allclose(flux[[0, 2, 3]], 0, atol=1e-9)
    assert np.isnan(flux[1]).all()  # half its light is off the frame


def test_a_frame_of_nan_gives_null_fluxes_with_the_reason():
    result = measure(np.full((100, 100), np.nan), [50.0, 20.0], [50.0, 70.0])
    assert result.aperture_flux["flux_adu"].null_count() == 6
    assert ((result.aperture_flux["flags"] & Flag.BAD_PIXEL) != 0).all()
    row = result.measurement.row(0, named=True)
    for name in ("sky_adu_per_pix", "peak_adu", "fwhm_pix", "ellipticity", "x_offset_pix"):
        assert row[name] is None
    assert row["n_sky_pix"] == 0
    assert row["flags"] & Flag.CROWDED_SKY


def test_neighbours_in_the_aperture_are_told_by_their_share_of_light():
    x, y = np.array([50.0, 55.0, 150.0, 160.5]), np.full(4, 50.0)
    flux = np.array([1000.0, 1000.0, 100.0, 1e5])
    blend, _ = blending(x, y, flux, radius_pix=[4.0, 8.0], fwhm_pix=SEEN_FWHM)
    image = gaussian_stars(x, y, flux, (100, 210))
    for k in range(4):
        own = gaussian_stars(x[k : k + 1], y[k : k + 1], flux[k : k + 1], image.shape)
        sums = [
            circle_sums(a, NO_BITS, 2, x[k : k + 1], y[k : k + 1], np.array([4.0, 8.0]))[0][0]
            for a in (image - own, own)
        ]
        # a Gaussian widened by pixels has slightly fatter tails
        np.testing.assert_allclose(blend[k], sums[0] / sums[1], rtol=0.12, atol=0.005)
    result = measure(image + 10, x, y, flux)
    blended = Flag.BLENDED.value
    assert flags_of(result.aperture_flux, 1).tolist() == [blended, blended, 0, 0]
    assert flags_of(result.aperture_flux, 3).tolist() == [blended, blended, blended, 0]


def test_the_light_of_neighbours_changes_with_the_seeing_as_told():
    rng = np.random.default_rng(71)
    x, y = rng.uniform(0, 60, (2, 60))
    flux, radius, step = 10 ** rng.uniform(2, 4, 60), np.array([2.5, 4.0, 8.0]), 1e-4
    share, slope = blending(x, y, flux, radius_pix=radius, fwhm_pix=4.0)

    def light(fwhm_pix):  # of neighbours over the whole light of the star
        own = -np.expm1(-0.5 * (radius / (fwhm_pix * SIGMA_PER_FWHM)) ** 2)
        return blending(x, y, flux, radius_pix=radius, fwhm_pix=fwhm_pix)[0] * own, own

    (more, _), (less, _), (_, own) = (light(4.0 * np.exp(s)) for s in (step, -step, 0.0))
    np.testing.assert_allclose(slope * own, (more - less) / (2 * step), rtol=1e-3, atol=1e-4)
    assert (slope[share == 0] == 0).all()
    # next to a star twice as bright an elongated image moves some per cent of the light
    result = measure(gaussian_stars([50.0, 56.0], [50.0, 50.0], [1e4, 2e4], (100, 210)) + 10,
                     [50.0, 56.0], [50.0, 50.0], np.array([1e4, 2e4]))  # fmt: skip
    found = result.aperture_flux["neighbour_slope_adu"].to_numpy().reshape(2, -1)
    assert found[0, 0] > 1.9 * found[1, 0] > 0


def test_neighbours_off_the_frame_and_stars_without_flux_count_too():
    image = np.full((60, 60), 10.0)
    result = measure(image, [2.0, -3.0, 30.0], [30.0, 30.0, np.nan], np.array([10.0, 1e4, np.nan]))
    assert result.measurement["source_id"].to_list() == [7]
    assert flags_of(result.aperture_flux, 3)[0] & Flag.BLENDED
    assert result.n_off_frame == 2


def test_width_and_peak_are_those_of_the_star_and_faint_stars_have_no_width():
    rng = np.random.default_rng(10)
    x, y = np.array([50.3, 150.7]), np.array([50.2, 49.6])
    image = 200 + gaussian_stars(x, y, [50000.0, 50.0], (100, 200)) + rng.normal(0, 5, (100, 200))
    raw = np.rint(image + 300).astype(np.uint16)
    bright, faint = measure(image, x, y, raw=raw).measurement.iter_rows(named=True)
    assert bright["fwhm_pix"] == pytest.approx(SEEN_FWHM, rel=0.02)
    assert faint["fwhm_pix"] is None
    assert bright["peak_adu"] == raw[40:60, 40:60].max()


def test_fifty_thousand_sources_and_none_at_all_are_measured():
    rng = np.random.default_rng(11)
    image = rng.normal(100, 5, (1000, 1000)).astype(np.float32)
    x, y = rng.uniform(0, 999, (2, 50_000))
    result = measure(image, x, y)
    assert result.aperture_flux.height == 150_000
    nothing = measure(image, np.empty(0), np.empty(0))
    assert nothing.measurement.height == nothing.aperture_flux.height == 0


def test_radii_that_make_no_sense_are_refused():
    image = np.zeros((20, 20))
    for options, message in (
        ({"annulus_inner_pix": 20.0}, "sky annulus"),
        ({"fwhm_pix": 0.0}, "FWHM"),
        ({"mask": np.zeros((3, 3), dtype=bool)}, "mask of shape"),
        ({"raw": np.zeros((3, 3))}, "raw frame"),
    ):
        with pytest.raises(PhotometryError, match=message):
            measure(image, [5.0], [5.0], **options)
    with pytest.raises(PhotometryError, match="positive radii"):
        forced_photometry(image, sources([5.0], [5.0]), apertures={1: -2.0}, **ANNULUS)


@pytest.mark.parametrize(
    ("bit", "flag", "is_counted"),
    [
        (PixelMask.SATURATED, Flag.SATURATED, True),
        (PixelMask.NONLINEAR, Flag.NONLINEAR, True),
        (PixelMask.HOT, Flag.HOT_PIXEL, True),
        (PixelMask.COLD, Flag.BAD_PIXEL, True),
        (PixelMask.DEAD, Flag.BAD_PIXEL, False),
        (PixelMask.BAD, Flag.BAD_PIXEL, False),
        (PixelMask.COSMIC_RAY, Flag.COSMIC_RAY, False),
        (PixelMask.OUTSIDE, Flag.OFF_FRAME, False),
    ],
)
def test_each_bit_of_the_mask_is_told_as_a_flag_and_the_unusable_add_no_light(
    bit, flag, is_counted
):
    image = np.full((60, 60), 100.0, np.float32)
    mask = np.zeros(image.shape, np.uint8)
    mask[30, 31] = bit
    sources = pl.DataFrame({"source_id": [1], "x_pix": [30.0], "y_pix": [30.0], "flux_adu": [1.0]})
    seen = forced_photometry(
        image,
        sources,
        apertures={1: 4.0},
        annulus_inner_pix=8.0,
        annulus_outer_pix=14.0,
        fwhm_pix=3.0,
        mask=mask,
    )
    row = seen.aperture_flux.row(0, named=True)
    is_missing = not is_counted
    assert row["flags"] == flag | (Flag.PARTLY_MASKED if is_missing else 0)
    assert (row["missing_fraction"] > 0.01) == is_missing
    assert row["n_pix"] == pytest.approx(np.pi * 16 - (not is_counted), rel=1e-6)


def moffat_frame(*, shape=(400, 400), fwhm_pix=3.2, seed=21):
    """A frame of bright lonely Moffat stars, their places and true light within each aperture."""
    rng = np.random.default_rng(seed)
    y, x = (a.ravel() + rng.uniform(-0.5, 0.5, a.size) for a in np.mgrid[30:371:68, 30:371:68])
    image = render_stars(x, y, np.full(x.size, 2e5), shape=shape, fwhm_pix=fwhm_pix)
    radius = np.array(list(APERTURES.values()))
    truth = circle_sums(image, NO_BITS, 0, x, y, radius)[0]
    return image + rng.normal(100, 3, shape), x, y, truth


def test_light_on_missing_pixels_is_made_up_for_or_the_flux_is_null():
    image, x, y, truth = moffat_frame()
    mask = np.zeros(image.shape, dtype=np.uint8)
    rng = np.random.default_rng(22)
    far = rng.uniform(1.5, 5, x.size)
    angle = rng.uniform(0, 2 * np.pi, x.size)
    is_hit = np.arange(x.size) % 2 == 0  # the others give the curve of growth
    rows = np.rint(y + far * np.sin(angle))[is_hit].astype(int)
    columns = np.rint(x + far * np.cos(angle))[is_hit].astype(int)
    mask[rows, columns] = PixelMask.BAD
    image[rows, columns] = 6e4
    seen = measure(image, x, y, mask=mask).aperture_flux
    flux = seen["flux_adu"].to_numpy().reshape(truth.shape)
    missing = seen["missing_fraction"].to_numpy().reshape(truth.shape)
    flags = seen["flags"].to_numpy().reshape(truth.shape)
    assert (missing[~is_hit] == 0).all()
    assert np.isnan(flux[missing > 0.1]).all()
    kept = (missing > 0) & (missing <= 0.1)
    assert kept.sum() > 10
    error = flux / truth - 1
    # without correction the flux would be short by all of it
    assert (np.abs(error[kept]) < 0.15 * missing[kept] + 2e-3).all()
    assert ((flags[kept] & Flag.PARTLY_MASKED) != 0).all()
    assert (((flags & Flag.BAD_PIXEL) != 0) == (missing > 0.01)).all()


def test_the_curve_of_growth_is_that_of_the_profile():
    image, x, y, _ = moffat_frame()
    rows = measure(image, x, y).curve_of_growth
    assert rows["n_star"].unique().to_list() == [36]
    place = np.array([30.3])
    lone = render_stars(place, place, np.array([2e5]), shape=(60, 60), fwhm_pix=3.2)
    radius = rows["radius_pix"].cast(pl.Float64).to_numpy()
    within = circle_sums(lone, NO_BITS, 0, place, place, radius)[0][0]
    fraction, err = rows["enclosed_fraction"], rows["enclosed_fraction_err"]
    # what of a star lies in a small circle depends on where in its pixel it is
    tolerance = np.where(radius < 2, 0.03, 0.002) + 4 * err.to_numpy()
    assert (np.abs(fraction.to_numpy() - within / within.max()) < tolerance).all()
    assert sorted(rows["aperture_id"].drop_nulls()) == [1, 2, 3]
    assert rows["enclosed_fraction"].max() == 1


def test_faint_or_crowded_stars_give_no_curve_of_growth():
    image = np.random.default_rng(23).normal(100, 5, (100, 100))
    assert measure(image, [30.0, 50.0, 70.0], [50.0] * 3).curve_of_growth.is_empty()


def test_a_star_off_its_place_says_by_how_much_and_bright_ones_are_recentred_if_asked():
    image, x, y, truth = moffat_frame()
    x_forced = x.copy()
    x_forced[0] -= 0.4
    x_forced[1] += 2.0
    plain = measure(image, x_forced, y)
    offset = plain.measurement["x_offset_pix"].to_numpy()
    np.testing.assert_allclose(offset, x - x_forced, atol=0.02)
    np.testing.assert_allclose(plain.measurement["y_offset_pix"].to_numpy(), 0, atol=0.02)
    moved = (plain.measurement["flags"] & Flag.MOVED_OFF) != 0
    assert moved.to_list() == [False, True] + [False] * (x.size - 2)
    assert plain.measurement["is_recentred"].null_count() == x.size
    flux = plain.aperture_flux["flux_adu"].to_numpy().reshape(truth.shape)
    assert flux[1, 0] < 0.93 * truth[1, 0]
    asked = measure(image, x_forced, y, recentre_signal_to_noise=50)
    assert asked.measurement["is_recentred"].all()
    flux = asked.aperture_flux["flux_adu"].to_numpy().reshape(truth.shape)
    np.testing.assert_allclose(flux, truth, rtol=5e-3)
    assert asked.measurement["x_pix"][1] == pytest.approx(x_forced[1], abs=1e-4)


def test_ellipticity_and_angle_are_those_of_trailed_stars():
    y, x = np.mgrid[:80, :80].astype(float)
    turn = np.deg2rad(30)
    along = (x - 40.2) * np.cos(turn) + (y - 39.7) * np.sin(turn)
    across = -(x - 40.2) * np.sin(turn) + (y - 39.7) * np.cos(turn)
    image = 100 + 5e3 * np.exp(-0.5 * ((along / 2.0) ** 2 + (across / 1.6) ** 2))
    image += np.random.default_rng(24).normal(0, 2, image.shape)
    row = measure(image, [40.0], [40.0]).measurement.row(0, named=True)
    assert row["ellipticity"] == pytest.approx(1 - 1.6 / 2.0, abs=0.02)
    assert row["angle_deg"] == pytest.approx(30, abs=2)
    assert row["fwhm_pix"] == pytest.approx(2.3548 * np.sqrt((2.0**2 + 1.6**2) / 2), rel=0.02)


def test_both_skies_are_stored_and_a_steep_one_is_flagged():
    rng = np.random.default_rng(25)
    slope = np.linspace(0, 400, 300)[None, :] * (np.arange(300)[:, None] < 150)
    image = rng.normal(100, 4, (300, 300)) + slope
    background = mesh_background(image, mesh_pix=32)
    rows = measure(image, [150.0, 150.0], [70.0, 230.0], background=background).measurement
    level = rows["sky_mesh_adu_per_pix"].to_numpy()
    np.testing.assert_allclose(level, [300, 100], atol=4)
    np.testing.assert_allclose(rows["sky_adu_per_pix"].to_numpy(), [300, 100], atol=3)
    # 36 pixels of 1.3 ADU each, against a noise of 4
    assert [bool(f & Flag.SKY_GRADIENT) for f in rows["flags"]] == [True, False]
    assert rows["sky_mesh_rms_adu"][1] == pytest.approx(4, rel=0.1)
