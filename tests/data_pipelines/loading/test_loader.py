"""A prepared corpus read back: the same numbers, in the same sequence, whatever the machinery."""

import contextlib
import copy
import dataclasses
import functools
import itertools
import shutil
import sys

import jax
import numpy as np
import pytest
import scipy.sparse

from data_pipelines import files, inspect
from data_pipelines.files import sha256
from data_pipelines.loading import loader
from data_pipelines.loading.corpus import Corpus
from data_pipelines.loading.quarantine import Quarantine
from data_pipelines.loading.windows import Windows
from data_pipelines.preparation import manifest as manifests
from data_pipelines.preparation import shards
from data_pipelines.prepare import PrepareOptions, prepare
from data_pipelines.problems import BadInputError
from hibio.batch import Batch
from tests.data_pipelines import hand_made


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  """Four sections of three donors, one of them without an image, and the corpus made of them."""
  folder = tmp_path_factory.mktemp("made")
  sections = [
    hand_made.section(name, name[0], image=hand_made.picture(folder, name))
    for name in ("A1", "A2", "B1")
  ]
  sections.append(hand_made.section("C1", "C", rows=5))
  with pytest.MonkeyPatch.context() as patch:
    hand_made.hand_over(patch, map(hand_made.Source, sections))
    options = PrepareOptions(
      gene_sets=(hand_made.gene_sets(folder),), window_spots=24, test_donors=("B",),
      validation_donors=("C",), patch_um=80.0, patch_px=16, region_um=(283.0, 490.0),
    )  # fmt: skip
    prepare([folder], folder / "corpus", options)
  return {s.section_id: s for s in sections}, folder / "corpus"


@pytest.fixture(scope="module")
def corpus(made):
  return Corpus.open(made[1])


@pytest.fixture
def copied(made, tmp_path):
  shutil.copytree(made[1], tmp_path / "corpus")
  return tmp_path / "corpus"


def draw(corpus, steps=6, windows=4, **options):
  options = {"sections_per_batch": 2, "seed": 0, "num_threads": 2} | options
  data = loader.batches(corpus, "train", windows_per_batch=windows, **options)
  return list(itertools.islice(data, steps))


def assert_same(one, two):
  assert len(one) == len(two)
  for left, right in zip(one, two, strict=True):
    jax.tree.map(np.testing.assert_array_equal, left, right)


def test_a_batch_is_what_the_model_takes(corpus):
  arrays = draw(corpus, 1)[0]
  batch = Batch(**arrays)
  assert batch.patches.shape == (4, 24, 16, 16, 3)
  assert batch.counts.shape == (4, 24, hand_made.GENES)
  kinds = {name: value.dtype.name for name, value in arrays.items()}
  assert kinds == {
    "patches": "uint8", "counts": "int32", "positions_um": "float32", "spot_mask": "bool",
    "has_patch": "bool", "has_counts": "bool", "section_index": "int32", "spot_index": "int32",
  }  # fmt: skip


def test_a_batch_has_places_for_the_largest_window_and_few_more(corpus):
  allowed = dataclasses.replace(corpus, manifest=corpus.manifest | {"window_spots": 4096})
  windows = Windows(allowed, ("train", "validation", "test"))
  largest = max(len(windows[number]["spot_index"]) for number in range(len(windows)))
  assert largest <= allowed.window_spots < largest + 16
  assert draw(allowed, 1)[0]["spot_mask"].shape == (4, allowed.window_spots)


def test_counts_and_positions_come_back_spot_by_spot(made, corpus):
  sections, _ = made
  seen = np.zeros(len(corpus.spots), int)
  for batch in loader.windows_once(corpus, ("train", "validation", "test"), 3):
    for window, spot in np.argwhere(batch["spot_mask"]):
      index = batch["spot_index"][window, spot]
      row = corpus.spots.iloc[index]
      section = sections[row["section_id"]]
      original = list(section.spot_ids).index(row["spot_id"])
      np.testing.assert_array_equal(
        batch["counts"][window, spot], section.counts[original].toarray()[0]
      )
      np.testing.assert_allclose(
        batch["positions_um"][window, spot], section.positions_um[original], rtol=1e-6
      )
      place = corpus.manifest["sections"][batch["section_index"][window]]
      assert place["section_id"] == row["section_id"]
      assert row["side"] == section.labels["side"][original]
      seen[index] += 1
  assert (seen == 1).all()


def test_a_patch_shows_the_tissue_at_its_spot(corpus):
  for batch in loader.windows_once(corpus, ("train", "test"), 4):
    centre = batch["patches"][:, :, 7:9, 7:9, :2].mean((2, 3))[batch["has_patch"]]
    at = batch["positions_um"][batch["has_patch"]] / hand_made.UM_PER_PX
    # Pixel values are coordinates; JPEG and the subsampled colours blur them a little.
    assert np.abs(centre - (at - 0.5)).max() < 8
    # 80 um at 5 um per pixel are 16 pixels, the first and the last 15 apart.
    patches = batch["patches"][batch["has_patch"]].astype(float)
    across = patches[:, :, -1, 0].mean(1) - patches[:, :, 0, 0].mean(1)
    down = patches[:, -1, :, 1].mean(1) - patches[:, 0, :, 1].mean(1)
    assert np.abs(np.concatenate([across, down]) - 15).max() < 4


def test_a_section_without_an_image_has_no_patches_but_counts(corpus):
  (batch,) = loader.windows_once(corpus, ("validation",), 4)
  assert batch["spot_mask"].sum() == 50
  assert not batch["has_patch"].any()
  assert not batch["patches"].any()
  np.testing.assert_array_equal(batch["has_counts"], batch["spot_mask"])


def test_evaluation_sees_every_window_once_and_pads_with_empty_ones(corpus):
  got = list(loader.windows_once(corpus, ("train",), 3))
  assert [b["spot_mask"].any(1).sum() for b in got] == [3, 3, 2]
  index = np.concatenate([b["spot_index"][b["spot_mask"]] for b in got])
  np.testing.assert_array_equal(index, np.arange(180))
  assert not got[-1]["counts"][2:].any()
  assert not got[-1]["has_patch"][2:].any()


def test_training_never_shows_a_held_out_donor(corpus):
  train = {row for row, s in enumerate(corpus.manifest["sections"]) if s["donor_id"] == "A"}
  seen = {int(s) for batch in draw(corpus, 8) for s in batch["section_index"]}
  assert seen == train


@pytest.mark.parametrize("threads", [0, 1, 7])
def test_threads_do_not_change_the_sequence(corpus, threads):
  assert_same(draw(corpus), draw(corpus, num_threads=threads))


def test_starting_at_a_step_goes_on_exactly_there(corpus):
  assert_same(draw(corpus)[3:], draw(corpus, 3, start_step=3))


def test_processes_share_each_batch(corpus):
  whole = draw(corpus)
  parts = [draw(corpus, rows=rows) for rows in ((0, 1), (2, 3))]
  joined = [
    {name: np.concatenate([a[name], b[name]]) for name in a} for a, b in zip(*parts, strict=True)
  ]
  assert_same(whole, joined)


def test_seeds_give_other_sequences(corpus):
  one, two = draw(corpus), draw(corpus, seed=1)
  assert any(not np.array_equal(a["spot_index"], b["spot_index"]) for a, b in zip(one, two))  # noqa: B905


def test_images_in_few_sections_do_not_leave_batches_without_pairs(tmp_path, monkeypatch):
  corpus = hand_made.corpus(tmp_path, monkeypatch)  # one training section of two has an image
  assert corpus.has_image.tolist() == [True, True, False]
  with_image = [batch["has_patch"].any(1).sum() for batch in draw(corpus, paired_share=0.75)]
  (there,) = (one["num_windows"] for one in corpus.manifest["sections"][:1])
  assert with_image == [min(3, there)] * 6
  for batch in draw(corpus):
    real = batch["spot_mask"].any(1)
    assert batch["has_patch"].any(1)[real].all()
    assert real.any()
  assert not any(batch["has_patch"].any() for batch in draw(corpus, paired_share=0.0))
  with pytest.raises(BadInputError, match="training.paired_share: found 1.5"):
    draw(corpus, paired_share=1.5)


def test_a_split_without_sections_is_refused(corpus):
  with pytest.raises(BadInputError, match="split nothing: found no section"):
    Windows(corpus, ("nothing",))


def test_the_name_is_that_of_the_folder_around(corpus, copied):
  assert corpus.name == f"{corpus.path.parent.name}/corpus"
  assert Corpus.open(copied).fingerprint == corpus.fingerprint


def believed(corpus):
  """Writes the manifest anew, as whoever changed files on purpose would."""
  manifest = manifests.read(corpus)
  manifest["files"] = {name: sha256(corpus / name) for name in manifest["files"]}
  manifests.write(corpus, manifest)


def shard(folder, section="A1"):
  return next((folder / "windows" / section / "1.0.0").glob("*.array_record*"))


def test_a_missing_shard_is_named(copied):
  shard(copied).unlink()
  with pytest.raises(BadInputError, match=r"A1.*array_record.*file: found none"):
    Corpus.open(copied)


@pytest.mark.parametrize("where", ["cut", "flipped", "empty", "garbage"])
def test_a_damaged_shard_is_named_and_nothing_wrong_is_returned(copied, corpus, where):
  path = shard(copied)
  content = bytearray(path.read_bytes())
  if where == "cut":
    content = content[: len(content) // 2]
  elif where == "flipped":
    content[2000] ^= 4
  elif where == "empty":
    content = b""
  else:
    content = np.random.default_rng(0).bytes(len(content))
  path.write_bytes(content)
  assert inspect.report(copied) == 1
  damaged = Corpus.open(copied)
  with pytest.raises(BadInputError, match=r"array_record.*found a file that has changed since"):
    draw(damaged)


def test_a_bad_record_is_left_out_where_that_is_allowed_and_named(copied, corpus, capsys):
  path = shard(copied)
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 4
  path.write_bytes(content)
  splits = ("train", "validation", "test")

  def read(limit, run=""):
    run = copied / (run or f"run{limit}")
    damaged = dataclasses.replace(Corpus.open(copied), quarantine=Quarantine(limit, run))
    return list(loader.windows_once(damaged, splits, windows_per_batch=1))

  found, whole = read(9), list(loader.windows_once(corpus, splits, windows_per_batch=1))
  said = [line for line in capsys.readouterr().err.splitlines() if "a window is left out" in line]
  empty = [not one["spot_mask"].any() for one in found]
  assert 0 < sum(empty) == len(said) < len(found)
  assert path.name in said[0]
  for one, other in zip(found, whole, strict=True):
    for name, array in one.items():
      wanted = other[name] if one["spot_mask"].any() else np.zeros_like(array)
      np.testing.assert_array_equal(array, wanted)
  with pytest.raises(BadInputError, match=path.name):
    read(sum(empty) - 1)
  capsys.readouterr()
  read(sum(empty), "run9")  # another start: they are known, and none more may come
  (line,) = (one for one in capsys.readouterr().err.splitlines() if "left out" in one)
  assert f"{sum(empty)} window" in line
  assert "left out by earlier starts" in line


def test_windows_left_out_count_over_all_starts_of_a_run(tmp_path):
  bad = BadInputError("shard", "window", "damaged data", "an intact one", "prepare again")
  Quarantine(2, tmp_path / "run").leave_out("A1", 0, bad)
  again = Quarantine(2, tmp_path / "run")
  again.leave_out("A1", 0, bad)
  again.leave_out("B1", 0, bad)
  with pytest.raises(BadInputError, match="damaged data"):
    Quarantine(2, tmp_path / "run").leave_out("A1", 1, bad)
  assert Quarantine(1, tmp_path / "other").leave_out("A1", 1, bad) is None


@pytest.mark.parametrize("limit", [0, 2])
def test_a_shard_in_the_place_of_another_is_told_and_not_read(copied, tmp_path, limit):
  one, other = shard(copied, "A1"), shard(copied, "A2")
  mine, theirs = one.read_bytes(), other.read_bytes()
  one.write_bytes(theirs)
  other.write_bytes(mine)
  corpus = Corpus.open(copied)
  if limit:
    corpus = dataclasses.replace(corpus, quarantine=Quarantine(limit, tmp_path))
  with pytest.raises(BadInputError, match=r"windows/A[12]/.*found what windows/A[12]/.* should be"):
    draw(corpus)


@pytest.mark.parametrize("name", ["0{}", "{}.bak", "._{}", "Copy of {}", "zz{}"])
def test_a_copy_beside_a_shard_is_not_read(copied, corpus, name):
  path = shard(copied)
  shutil.copy(shard(copied, "B1"), path.with_name(name.format(path.name)))
  assert_same(draw(Corpus.open(copied)), draw(corpus))


def test_shards_that_are_not_as_many_as_their_names_say_are_refused(copied):
  path = shard(copied)
  shutil.copy(path, path.with_name(path.name.replace("00000-of-00001", "00001-of-00002")))
  with pytest.raises(BadInputError, match="not as many as their names say"):
    draw(Corpus.open(copied))


def test_a_corpus_is_sound_as_prepared(corpus):
  assert inspect.report(corpus.path) == 0
  patch = corpus.manifest["patch"]["px"]
  assert patch == corpus.patch_px == 16


def test_what_is_no_corpus_is_refused_with_the_command_that_makes_one(tmp_path, copied):
  with pytest.raises(BadInputError, match=r"no such folder.*data_pipelines.prepare --input"):
    Corpus.open(tmp_path / "nowhere")
  with pytest.raises(BadInputError, match=r"found a folder with corpus"):
    Corpus.open(tmp_path)
  manifests.write(copied, manifests.read(copied) | {"version": 99})
  with pytest.raises(BadInputError, match=r"version: found 99, expected 1\. Fix: prepare"):
    Corpus.open(copied)
  (copied / "manifest.json").unlink()
  with pytest.raises(BadInputError, match=r"found an unfinished corpus"):
    Corpus.open(copied)


def test_tables_of_another_preparation_are_refused(copied):
  with np.load(copied / "statistics.npz") as arrays:
    changed = dict(arrays) | {"num_spots": arrays["num_spots"] + 1}
  np.savez(copied / "statistics.npz", **changed)
  with pytest.raises(
    BadInputError, match=r"statistics.npz: content: found a file that has changed"
  ):
    Corpus.open(copied)
  believed(copied)
  with pytest.raises(BadInputError, match=r"statistics.npz: spots: found"):
    Corpus.open(copied)


@pytest.mark.parametrize(
  ("file", "name"),
  [
    ("statistics.npz", "measured"), ("statistics.npz", "corpus_spatial"),
    ("statistics.npz", "activity_mean"), ("gene_sets.npz", "membership"),
    ("regions/version-0000.npz", "regions"),
  ],
)  # fmt: skip
@pytest.mark.parametrize("change", [lambda array: array[..., 1:], lambda array: array.astype(str)])
def test_tables_that_do_not_fit_are_refused_before_they_are_read_as_something_else(
  copied, file, name, change
):
  with np.load(copied / file) as arrays:
    changed = dict(arrays) | {name: change(arrays[name])}
  np.savez(copied / file, **changed)
  believed(copied)
  with pytest.raises(BadInputError, match="expected numbers of shape|do not fit together"):
    Corpus.open(copied)


def _places(value, at=()):
  """Every place of a manifest; of a list its first entry alone."""
  yield at
  inner = value.items() if isinstance(value, dict) else ()
  for key, one in enumerate(value[:1]) if isinstance(value, list) else inner:
    yield from _places(one, (*at, key))


def test_a_manifest_made_to_harm_is_one_line_or_does_no_harm(copied):
  good = manifests.read(copied)
  places = [at for at in _places(good) if at and at[:1] != ("created_with",)]
  for number, at in enumerate(at for at in places if at[0] != "files" or len(at) == 1):
    bad = copy.deepcopy(good)
    inside = functools.reduce(lambda tree, key: tree[key], at[:-1], bad)
    inside[at[-1]] = (None, -1, "../x", [], 10**12)[number % 5]
    manifests.write(copied, bad)
    with contextlib.suppress(BadInputError):
      corpus = Corpus.open(copied)
      draw(corpus, steps=1)
      [corpus.thumbnail(section) for section in corpus.manifest["sections"]]


def test_patches_of_another_size_are_refused(copied):
  manifest = manifests.read(copied)
  manifest["patch"]["px"] = 32
  manifests.write(copied, manifest)
  with pytest.raises(
    BadInputError, match=r"patch 0 of window \d+: found 16 x 16 px, expected a JPEG of 32 px"
  ):
    draw(Corpus.open(copied))


def test_windows_that_are_not_decoded_are_the_same_but_for_their_pixels(corpus):
  for whole, bare in zip(
    loader.windows_once(corpus, ("train",), 2),
    loader.windows_once(corpus, ("train",), 2, decoded=False),
    strict=True,
  ):
    assert bare["patches"].shape[2:] == (0, 0, 3)
    for name in whole.keys() - {"patches"}:
      np.testing.assert_array_equal(whole[name], bare[name], err_msg=name)


def test_a_hostile_corpus_imports_no_code(copied, tmp_path, monkeypatch):
  """TFDS imports the module that `features.json` names; this corpus vouches for its own files."""
  (tmp_path / "evil_feature.py").write_text("raise SystemExit('imported')")
  monkeypatch.syspath_prepend(tmp_path)
  for path in copied.rglob("features.json"):
    path.write_text('{"pythonClassName": "evil_feature.Evil", "featuresDict": {}}')
  believed(copied)
  assert_same(draw(Corpus.open(copied)), draw(Corpus.open(copied)))
  assert "evil_feature" not in sys.modules


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "windows/../../x"])
def test_a_manifest_that_leads_out_of_its_folder_is_refused(copied, name):
  manifest = manifests.read(copied)
  manifest["files"][name] = "0"
  manifests.write(copied, manifest)
  with pytest.raises(BadInputError, match="name: found .*names of files in this folder"):
    Corpus.open(copied)


@pytest.mark.parametrize("key", ["files", "sections", "patch", "panel", "splits", "gene_sets"])
def test_a_manifest_with_a_hole_is_one_clear_line(copied, key):
  manifest = manifests.read(copied)
  del manifest[key]
  manifests.write(copied, manifest)
  with pytest.raises(BadInputError, match="content: found"):
    Corpus.open(copied)


def test_an_array_that_would_not_fit_into_memory_is_refused_unread(copied, monkeypatch):
  monkeypatch.setattr(files, "_SMALL_BYTES", 1 << 20)
  np.savez_compressed(copied / "statistics.npz", num_spots=np.zeros(1 << 21, np.int8))
  believed(copied)
  with pytest.raises(BadInputError, match="2,097,280 bytes when unpacked"):
    Corpus.open(copied)


def test_a_window_whose_parts_do_not_fit_is_refused_before_it_crashes_anything(tmp_path):
  spots = shards.WindowedSpots(
    counts=scipy.sparse.csr_matrix(np.ones((4, 9), np.int32)),
    positions_um=np.zeros((4, 2)), window=np.zeros(4, int), patches=[], patch_px=16,
  )  # fmt: skip
  shards.write(spots, tmp_path)
  assert shards.StoredWindows(tmp_path, 9).counts().sum() == 36
  with pytest.raises(BadInputError, match="do not fit together"):
    shards.StoredWindows(tmp_path, 8).counts()
