"""A frame on another grid: the map between nodes, the light that is kept, the noise told."""

import numpy as np
import pytest
from astropy.wcs import WCS

from starmuster.errors import RegistrationError
from starmuster.transforms.astrometry import pixel_positions, sky_positions
from starmuster.transforms.reproject import (
    area_ratio,
    at_nodes,
    bin_image,
    binned_map,
    pixel_map,
    positions,
    resample_rows,
)

KERNELS = ("bilinear", "lanczos3")
SKY_VARIANCE = 25.0


def turned(angle_deg: float = 0.0, *, scale: float = 1.0, shift=(0.0, 0.0)):
    """Return a map from grid to frame: a rotation, a scale and a shift."""
    cosine, sine = scale * np.cos(np.radians(angle_deg)), scale * np.sin(np.radians(angle_deg))
    return lambda x, y: (cosine * x - sine * y + shift[0], sine * x + cosine * y + shift[1])


def gaussian(shape, x0: float, y0: float, *, fwhm_pix: float = 3.0, flux: float = 1e5):
    """Render one star."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    sigma = fwhm_pix / 2.3548
    profile = np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / 2 / sigma**2)
    return (flux / (2 * np.pi * sigma**2) * profile).astype(np.float32)


def resampled(image, mapped, **tuning):
    """Resample all rows under a flat sky."""
    sky = np.full(mapped.x_pix.shape, SKY_VARIANCE)
    return resample_rows(image, mapped, 0, mapped.shape[0], sky_variance_adu2=sky, **tuning)


def centroid(image):
    """Centre of light, x and y."""
    light = np.nan_to_num(image)
    y, x = np.mgrid[: light.shape[0], : light.shape[1]]
    return tuple(float(np.sum(light * axis) / light.sum()) for axis in (x, y))


def camera_wcs(*, rotation_deg: float, ra_deg: float) -> WCS:
    """Make the WCS of a large camera with a distortion of several pixels at its corners."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
    wcs.wcs.crval, wcs.wcs.crpix = [ra_deg, 36.0], [4788.5, 3194.5]
    cosine, sine = np.cos(np.radians(rotation_deg)), np.sin(np.radians(rotation_deg))
    wcs.wcs.cd = 0.303 / 3600 * np.array([[-cosine, sine], [sine, cosine]])
    a, b = np.zeros((2, 4, 4))
    a[3, 0] = a[1, 2] = b[0, 3] = b[2, 1] = 5e-11  # 9 pixels in the corner
    from astropy.wcs import Sip

    wcs.sip = Sip(a, b, None, None, wcs.wcs.crpix)
    wcs.wcs.set()
    return wcs


def test_a_wcs_on_a_coarse_grid_is_good_to_a_hundredth_of_a_pixel_everywhere():
    grid, frame = (
        camera_wcs(rotation_deg=0, ra_deg=250.0),
        camera_wcs(rotation_deg=178, ra_deg=250.02),
    )

    def carry(x, y):
        there = pixel_positions(frame, *sky_positions(grid, x.ravel(), y.ravel()))
        return tuple(axis.reshape(x.shape) for axis in there)

    mapped = pixel_map(carry, (6388, 9576))
    rng = np.random.default_rng(4)
    x, y = rng.uniform(0, 9575, 5000), rng.uniform(0, 6387, 5000)
    miss = np.hypot(*(np.subtract(positions(mapped, x, y), carry(x, y))))
    assert mapped.step_pix == 64
    assert miss.max() <= mapped.error_pix + 1e-3
    assert mapped.error_pix <= 0.01


def test_a_map_that_bends_gets_closer_nodes_and_one_that_breaks_is_refused():
    def bent(x, y):
        return x + 3 * np.sin(x / 50), y

    mapped = pixel_map(bent, (300, 400))
    assert mapped.step_pix < 64
    x = np.linspace(0, 399, 4001)
    assert np.abs(positions(mapped, x, x * 0)[0] - bent(x, x)[0]).max() <= 0.011
    with pytest.raises(RegistrationError, match="diverges"):
        pixel_map(lambda x, y: (x + 50 * np.sign(x - 151.3), y), (300, 400))
    with pytest.raises(RegistrationError, match="nan"):
        pixel_map(lambda x, y: (x * np.nan, y), (300, 400))


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_frame_on_its_own_pixels_is_itself_up_to_its_edges(kernel):
    image = np.random.default_rng(1).normal(0, 5, (130, 193)).astype(np.float32)
    found = resampled(image, pixel_map(turned(), image.shape), kernel=kernel)
    np.testing.assert_array_equal(found.data_adu, image)
    np.testing.assert_allclose(found.variance_adu2, SKY_VARIANCE, rtol=1e-5)


@pytest.mark.parametrize("kernel", KERNELS)
def test_rows_do_not_depend_on_the_band_they_are_made_in(kernel):
    image = np.random.default_rng(1).normal(0, 5, (150, 190)).astype(np.float32)
    mapped = pixel_map(turned(7, shift=(12, -3)), image.shape)
    sky = np.full(mapped.x_pix.shape, SKY_VARIANCE)
    whole = resampled(image, mapped, kernel=kernel)
    part = resample_rows(image, mapped, 61, 70, sky_variance_adu2=sky, kernel=kernel)
    np.testing.assert_array_equal(part.data_adu, whole.data_adu[61:70])


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    ("angle_deg", "scale"), [(0, 1.0), (3, 1.0), (180, 1.0), (90, 1.0), (30, 0.8), (45, 1.25)]
)
def test_a_star_keeps_its_flux_to_a_thousandth(kernel, angle_deg, scale):
    shape = (240, 240)
    x0, y0 = 118.3, 121.8
    carry = turned(angle_deg, scale=scale)
    middle = carry(120.0, 120.0)
    carry = turned(angle_deg, scale=scale, shift=(x0 - middle[0], y0 - middle[1]))
    image = gaussian(shape, x0, y0)
    mapped = pixel_map(carry, shape)
    found = resampled(image, mapped, kernel=kernel)
    assert area_ratio(mapped) == pytest.approx(scale**2)
    # a linear interpolation onto pixels of another size beats with the pixels of the frame
    tolerance = 5e-3 if kernel == "bilinear" and scale != 1 else 1e-3
    assert np.nansum(found.data_adu) == pytest.approx(1e5, rel=tolerance)
    assert centroid(found.data_adu) == pytest.approx((120, 120), abs=0.02)


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_scatter_of_pixels_is_the_variance_told_and_that_of_areas_is_larger(kernel):
    rng = np.random.default_rng(8)
    image = rng.normal(0, np.sqrt(SKY_VARIANCE), (700, 700)).astype(np.float32)
    found = resampled(image, pixel_map(turned(4, shift=(30, -10)), (600, 600)), kernel=kernel)
    good = np.isfinite(found.data_adu)
    # 2 / n of the variance of a variance, with neighbours that share their noise
    chi2 = np.mean(found.data_adu[good] ** 2 / found.variance_adu2[good])
    assert chi2 == pytest.approx(1, abs=5 * np.sqrt(2 / good.sum()) * 2)
    wide, single = found.sky_variance_sums
    correlation = np.sqrt(wide / single)
    square = bin_image(found.data_adu[60:540, 60:540], 16)
    # a square of 16 pixels loses a little at its rim, where its noise is shared with others
    told = 16 * np.sqrt(np.mean(found.variance_adu2[60:540, 60:540]))
    assert np.std(square) / told == pytest.approx(correlation, rel=0.12)
    assert correlation > 1.1


def test_photon_noise_of_stars_is_in_the_variance_where_the_gain_is_known():
    image = gaussian((80, 80), 40, 40)
    mapped = pixel_map(turned(), image.shape)
    known = resampled(image, mapped, gain_e_per_adu=2.0)
    unknown = resampled(image, mapped)
    np.testing.assert_allclose(known.variance_adu2, SKY_VARIANCE + image / 2, rtol=1e-4)
    np.testing.assert_allclose(unknown.variance_adu2, SKY_VARIANCE)


def test_a_factor_scales_light_and_noise_together():
    image = gaussian((80, 80), 40, 40)
    mapped = pixel_map(turned(2), image.shape)
    plain, bright = resampled(image, mapped), resampled(image, mapped, factor=3.0)
    np.testing.assert_allclose(bright.data_adu, 3 * plain.data_adu, rtol=1e-6)
    np.testing.assert_allclose(bright.variance_adu2, 9 * plain.variance_adu2, rtol=1e-6)


@pytest.mark.parametrize(("kernel", "reach"), [("bilinear", 1), ("lanczos3", 3)])
def test_a_bad_pixel_spoils_what_its_kernel_touches_and_no_more(kernel, reach):
    image = np.ones((50, 50), np.float32)
    image[20, 30] = np.nan
    whole = resampled(image, pixel_map(turned(), image.shape), kernel=kernel)
    assert np.argwhere(np.isnan(whole.data_adu)).tolist() == [[20, 30]]
    half = resampled(image, pixel_map(turned(shift=(0.5, 0.5)), (48, 48)), kernel=kernel)
    assert np.isnan(half.data_adu).sum() == (2 * reach) ** 2
    np.testing.assert_array_equal(np.isnan(half.data_adu), np.isnan(half.variance_adu2))


def test_the_grid_beyond_the_frame_holds_nothing():
    found = resampled(
        np.ones((50, 60), np.float32), pixel_map(turned(shift=(-10, 5)), (50, 60))
    ).data_adu
    inside = np.isfinite(found)
    assert inside[:45, 10:].all()
    assert inside.sum() == 45 * 50


def test_a_finer_frame_is_binned_first_and_keeps_its_stars():
    shape = (400, 400)
    carry = turned(10, scale=3.0, shift=(40, -25))
    image = gaussian(shape, *carry(60.0, 55.0), fwhm_pix=8)
    mapped = pixel_map(carry, (130, 130))
    found = resampled(bin_image(image, 3), binned_map(mapped, 3))
    assert np.nansum(found.data_adu) == pytest.approx(1e5, rel=1e-3)
    assert centroid(found.data_adu) == pytest.approx((60, 55), abs=0.02)


def test_a_map_of_the_sky_is_sampled_where_the_nodes_lie():
    y, _ = np.mgrid[:200, :300]
    mapped = pixel_map(turned(180, shift=(299, 199)), (200, 300))
    np.testing.assert_allclose(
        at_nodes(y.astype(np.float32), mapped), np.clip(mapped.y_pix, 0, 199).round()
    )
