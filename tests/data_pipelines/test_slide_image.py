"""Images as microscopes and people write them."""

import gzip
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from data_pipelines.problems import BadInputError
from data_pipelines.slide_image import ArrayImage, SlideImage
from data_pipelines.stated_scale import by_tags


def picture(height=40, width=60):
  rows, columns = np.mgrid[:height, :width]
  return np.stack([rows * 3, columns * 3, rows + columns], -1).astype(np.uint8)


def written(tmp_path, image, name="image.png", **options):
  path = tmp_path / name
  image.save(path, **options)
  return SlideImage.open(path)


def test_size_is_width_by_height_and_pixels_come_back_as_written(tmp_path):
  image = written(tmp_path, Image.fromarray(picture()))
  assert (image.width_px, image.height_px) == (60, 40)
  np.testing.assert_array_equal(image.pixels(), picture())


def test_a_crop_is_centred_on_x_right_y_down(tmp_path):
  image = written(tmp_path, Image.fromarray(picture()))
  (patch,) = image.crops(np.array([[50.0, 10.0]]), 8.0, 8)
  np.testing.assert_array_equal(patch, picture()[6:14, 46:54])


def test_outside_the_image_is_white_even_when_nothing_of_a_crop_is_inside(tmp_path):
  image = written(tmp_path, Image.fromarray(picture()))
  corner, away = image.crops(np.array([[0.0, 0.0], [500.0, 500.0]]), 8.0, 8)
  np.testing.assert_array_equal(corner[4:, 4:], picture()[:4, :4])
  assert (corner[:4] == 255).all()
  assert (away == 255).all()


def test_a_shrunk_crop_is_the_mean_of_the_pixels_it_covers(tmp_path):
  image = written(tmp_path, Image.fromarray(picture()))
  (patch,) = image.crops(np.array([[20.0, 20.0]]), 16.0, 4)
  block = picture()[12:28, 12:28].reshape(4, 4, 4, 4, 3).mean(axis=(1, 3))
  assert np.abs(patch - block).max() <= 1.0  # rounding


def test_transparent_pixels_become_white(tmp_path):
  rgba = np.dstack([picture(), np.full((40, 60), 255, np.uint8)])
  rgba[:, :30, 3] = 0
  pixels = written(tmp_path, Image.fromarray(rgba)).pixels()
  assert (pixels[:, :30] == 255).all()
  np.testing.assert_array_equal(pixels[:, 30:], picture()[:, 30:])


def test_colours_that_alpha_hides_everywhere_are_refused_and_glass_that_it_hides_is_not(tmp_path):
  rgba = np.random.default_rng(0).integers(0, 256, (8, 9, 4), np.uint8)
  rgba[..., 3] = 0
  hidden, seen = tmp_path / "hidden.png", tmp_path / "seen.png"
  Image.fromarray(rgba).save(hidden)
  arrays = ArrayImage.of("a.h5ad", rgba.shape, "hires", lambda: rgba)
  for image in (SlideImage.open(hidden), arrays):
    with pytest.raises(BadInputError, match="alpha is 0 everywhere.*without alpha"):
      image.thumbnail(8)
  rgba[..., 3] = 1  # opaque, where colours are from 0 to 1
  with pytest.raises(BadInputError, match="alpha is 1 everywhere"):
    arrays.thumbnail(8)
  rgba[0, 0, 3] = 255
  Image.fromarray(rgba).save(seen)
  assert SlideImage.open(seen).pixels()[0, 0].tolist() == rgba[0, 0, :3].tolist()


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "I;16"])
def test_other_colour_modes_become_rgb_of_the_same_brightness(tmp_path, mode):
  grey = Image.fromarray(picture()[..., 0])
  if mode == "I;16":
    image = Image.fromarray(picture()[..., 0].astype(np.uint16) * 257)
  elif mode == "P":
    image = grey.quantize(256)
  else:
    image = grey.convert("RGB").convert(mode)
  pixels = written(tmp_path, image, "image.tif" if mode == "CMYK" else "image.png").pixels()
  assert pixels.shape == (40, 60, 3)
  tolerance = 6 if mode == "P" else 1  # a palette has few greys
  assert np.abs(pixels[..., 0].astype(int) - picture()[..., 0]).max() <= tolerance


TOO_WIDE = np.linspace(-2.1, 2.6, 60 * 40).reshape(40, 60)


@pytest.mark.parametrize(
  "values",
  [
    picture() / 255.0,
    picture() / 255.0 * 1.04,  # overshoot of resampling; clipped
    picture().astype(np.float32),
    picture().astype(np.uint16) * 257,
    picture().astype(np.uint16) * 16,  # twelve bits
    picture().astype(np.int64),
    np.moveaxis(picture(), -1, 0),
    picture()[None],
    np.dstack([picture(), np.full((40, 60), 255, np.uint8)]),
  ],
)
def test_an_array_of_any_type_and_order_of_axes_becomes_the_same_colours(values):
  image = ArrayImage.of("a.h5ad", values.shape, "hires", lambda: values)
  assert (image.width_px, image.height_px) == (60, 40)
  assert np.abs(image.pixels().astype(int) - picture()).max() <= 7


@pytest.mark.parametrize(
  ("values", "found"),
  [
    (np.dstack([TOO_WIDE] * 3), "float64 from -2.1 to 2.6"),
    (np.full((40, 60, 3), np.nan), "float64 with 7,200 values that are no numbers"),
    (picture().astype(np.int16) - 128, "int16 from -128"),
    (picture().astype(np.uint32) * 2**20, "uint32 from 0"),
    (picture().astype(np.uint16) // 10, "uint16 from 0 to 17"),  # labels
    (picture() > 100, "values of type bool"),
  ],
)
def test_an_array_that_can_mean_several_things_is_refused_with_its_type_and_range(values, found):
  image = ArrayImage.of("a.h5ad", values.shape, "hires", lambda: values)
  with pytest.raises(BadInputError, match=found):
    image.pixels()


@pytest.mark.parametrize("shape", [(40, 60, 5), (7, 40, 60, 3), (60,), (0, 40, 3)])
def test_an_array_of_another_shape_is_no_image(shape):
  with pytest.raises(BadInputError, match="array of shape"):
    ArrayImage.of("a.h5ad", shape, "hires", lambda: None)


def test_a_floating_point_file_is_judged_by_its_range_too(tmp_path):
  grey = Image.fromarray(picture()[..., 0].astype(np.float32))
  assert np.abs(written(tmp_path, grey, "image.tif").pixels()[..., 0] - picture()[..., 0]).max() < 2
  image = written(tmp_path, Image.fromarray(TOO_WIDE.astype(np.float32)), "wide.tif")
  with pytest.raises(BadInputError, match=r"float32 from -2.1 to 2.6"):
    image.pixels()


def test_a_stack_and_a_pyramid_that_begins_with_a_small_level_are_refused(tmp_path):
  page, small = Image.fromarray(picture()), Image.fromarray(picture(20, 30))
  written(tmp_path, page, "pyramid.tif", save_all=True, append_images=[small])
  with pytest.raises(BadInputError, match="3 pages of 60 x 40 px"):
    written(tmp_path, page, "stack.tif", save_all=True, append_images=[page, page])
  with pytest.raises(BadInputError, match="finest page first"):
    written(tmp_path, small, "upside.tif", save_all=True, append_images=[page])


def test_a_gzipped_image_is_read_as_the_image_in_it(tmp_path):
  plain = written(tmp_path, Image.fromarray(picture()))
  packed = tmp_path / "image.png.gz"
  packed.write_bytes(gzip.compress(plain.path.read_bytes()))
  np.testing.assert_array_equal(SlideImage.open(packed).pixels(), picture())
  packed.write_bytes(packed.read_bytes()[:60])
  with pytest.raises(BadInputError, match="image"):
    SlideImage.open(packed).pixels()


@pytest.mark.parametrize(
  ("tags", "um_per_px"),
  [
    ({270: '<OME><Pixels PhysicalSizeX="0.5" PhysicalSizeXUnit="um" /></OME>'}, 0.5),
    ({270: '<OME><Pixels PhysicalSizeX="250" PhysicalSizeXUnit="nm" /></OME>'}, 0.25),
    ({270: "Aperio Image Library|AppMag = 20|MPP = 0.4990"}, 0.499),
    ({282: 20_000.0, 283: 20_000.0, 296: 3}, 0.5),
    ({282: 0.0, 296: 3}, None),
    ({}, None),
  ],
)
def test_the_length_of_a_pixel_is_found_where_scanners_and_programs_write_it(tags, um_per_px):
  stated = by_tags(tags)
  assert (stated and stated.across) == (um_per_px and pytest.approx(um_per_px))


def test_a_rotation_tag_is_reported_and_not_applied(tmp_path):
  exif = Image.Exif()
  exif[0x0112] = 6
  image = written(tmp_path, Image.fromarray(picture()), "image.jpg", exif=exif)
  assert image.rotated_by_tag
  assert image.pixels().shape == (40, 60, 3)
  assert not written(tmp_path, Image.fromarray(picture())).rotated_by_tag
  turned = written(tmp_path, Image.fromarray(picture()), "image.tif", tiffinfo={274: 6})
  assert turned.rotated_by_tag
  np.testing.assert_array_equal(turned.pixels(), picture())  # as stored


def test_a_thumbnail_keeps_the_shape_and_its_longest_side(tmp_path):
  image = Image.fromarray(picture(400, 600))
  for name in ("image.jpg", "image.png"):
    assert written(tmp_path, image, name).thumbnail(90).shape == (60, 90, 3)


def test_a_truncated_image_is_one_error(tmp_path):
  noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
  image = written(tmp_path, Image.fromarray(noise))
  image.path.write_bytes(image.path.read_bytes()[:5000])
  with pytest.raises(BadInputError, match="damaged"):
    image.pixels()


def test_an_image_that_declares_too_many_pixels_is_refused_before_it_is_decoded(tmp_path):
  body = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
  chunk = b"IHDR" + body
  data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk
  data += struct.pack(">I", zlib.crc32(chunk))
  data += struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
  (tmp_path / "bomb.png").write_bytes(data)
  with pytest.raises(BadInputError, match="pixels"):
    SlideImage.open(tmp_path / "bomb.png")


def test_a_missing_file_and_a_text_file_are_no_images(tmp_path):
  (tmp_path / "text.png").write_text("hello")
  with pytest.raises(BadInputError, match="no such file"):
    SlideImage.open(tmp_path / "none.png")
  with pytest.raises(BadInputError, match="not readable"):
    SlideImage.open(tmp_path / "text.png")
