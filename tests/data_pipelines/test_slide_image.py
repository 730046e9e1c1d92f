"""Images as microscopes and people write them."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from data_pipelines.problems import BadInputError
from data_pipelines.slide_image import SlideImage


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


def test_a_floating_point_image_is_refused(tmp_path):
  image = written(tmp_path, Image.fromarray(picture()[..., 0].astype(np.float32)), "image.tif")
  with pytest.raises(BadInputError, match="brightfield"):
    image.pixels()


def test_a_rotation_tag_is_reported_and_not_applied(tmp_path):
  exif = Image.Exif()
  exif[0x0112] = 6
  image = written(tmp_path, Image.fromarray(picture()), "image.jpg", exif=exif)
  assert image.rotated_by_tag
  assert image.pixels().shape == (40, 60, 3)
  assert not written(tmp_path, Image.fromarray(picture())).rotated_by_tag


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
