"""Raw sections made to harm, each written here: refused in one line, and nothing is written."""

import struct
import zlib

import h5py
import numpy as np
import pytest

from data_pipelines import inspect
from data_pipelines.prepare import PrepareOptions, prepare
from data_pipelines.problems import BadInputError
from tests.data_pipelines import annotated, raw_folders

SECRET = "hunter2-0123456789"
MATRIX = "filtered_feature_bc_matrix.h5"


def link_into_another_file(outs):
  with h5py.File(outs / MATRIX, "a") as file:
    del file["matrix/data"]
    file["matrix/data"] = h5py.ExternalLink("../secret.h5", "/x")


def bytes_of_another_file(outs):
  with h5py.File(outs / MATRIX, "a") as file:
    del file["matrix/data"]
    secret = str(outs.parent / "secret.txt")
    file["matrix"].create_dataset("data", (8,), "u1", external=[(secret, 0, 8)])


def virtual_data(outs):
  layout = h5py.VirtualLayout((4,), "i4")
  layout[:] = h5py.VirtualSource("../secret.h5", "x", (4,))
  with h5py.File(outs / MATRIX, "a") as file:
    del file["matrix/data"]
    file.create_virtual_dataset("matrix/data", layout)


def forty_terabytes(outs):
  with h5py.File(outs / MATRIX, "a") as file:
    del file["matrix/data"]
    file.create_dataset("matrix/data", (10**13,), "i4", chunks=(1024,), compression="gzip")


def wild_pointers(outs):
  with h5py.File(outs / MATRIX, "a") as file:
    file["matrix/indices"][0] = 10**9


def picture_of_billions_of_pixels(outs):
  def chunk(kind, content):
    crc = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + crc

  header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
  png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 999))
  (outs / "spatial" / "tissue_hires_image.png").write_bytes(png + chunk(b"IEND", b""))


def name_that_leads_out(outs):
  _table(outs, "section,donor,labels\nS,D,../../secret.txt\n")


def labels_that_are_a_secret(outs):
  _table(outs, "section,donor,labels\nS,D,secret.txt\n")


def donor_that_steers_the_terminal(outs):
  _table(outs, "section,donor\nS,\x1b]0;owned\x07\x1b[2J\n")


def number_of_five_million_digits(outs):
  path = outs / "spatial" / "tissue_positions.csv"
  lines = path.read_text().splitlines()
  path.write_text("\n".join([*lines[:-1], f"{lines[-1]}{'9' * 5_000_000}"]))


def factors_nested_a_hundred_thousand_deep(outs):
  (outs / "spatial" / "scalefactors_json.json").write_text("[" * 100_000)


def _table(outs, text):
  (outs.parent.parent / "metadata.csv").write_text(text)


HOSTILE = (
  link_into_another_file, bytes_of_another_file, virtual_data, forty_terabytes, wild_pointers,
  picture_of_billions_of_pixels, name_that_leads_out, labels_that_are_a_secret,
  donor_that_steers_the_terminal, number_of_five_million_digits,
  factors_nested_a_hundred_thousand_deep,
)  # fmt: skip


@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__)
def test_a_section_made_to_harm_is_refused_in_one_line(tmp_path, make, capsys):
  folder = tmp_path / "in" / "S"
  raw_folders.visium(folder / "outs")
  (folder / "secret.txt").write_text(f"{SECRET}\n")
  with h5py.File(folder / "secret.h5", "w") as file:
    file["x"] = np.frombuffer(SECRET.encode()[:16], "i4")
  make(folder / "outs")
  with pytest.raises(BadInputError) as refused:
    prepare([tmp_path / "in"], tmp_path / "corpus", PrepareOptions(test_donors=()))
  try:
    inspect.report(tmp_path / "in")
  except BadInputError as problem:
    print(problem)
  said = f"{refused.value}\n{capsys.readouterr().out}"
  assert str(refused.value).isprintable()
  assert len(str(refused.value)) < 2000
  assert SECRET not in said
  assert "\x1b" not in said
  assert not (tmp_path / "corpus" / "manifest.json").exists()


def test_a_table_of_a_file_that_lies_elsewhere_is_refused(tmp_path):
  section = annotated.section("H")
  path = tmp_path / "H.h5ad"
  annotated.adata(section).write_h5ad(path)
  (tmp_path / "secret.bin").write_bytes(b"x" * 8 * section.num_spots * 2)
  with h5py.File(path, "a") as file:
    about = dict(file["obsm/spatial"].attrs)
    del file["obsm/spatial"]
    there = [(str(tmp_path / "secret.bin"), 0, 16 * section.num_spots)]
    made = file["obsm"].create_dataset("spatial", (section.num_spots, 2), "f8", external=there)
    made.attrs.update(about)
  with pytest.raises(BadInputError, match="obsm/spatial: found data kept in another file"):
    prepare([path], tmp_path / "corpus", PrepareOptions(test_donors=()))
