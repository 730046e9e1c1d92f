"""A released model is the checkpoint it was made from, and what comes with the library is small."""

import errno
import shutil

import jax
import numpy as np
import pytest

from data_pipelines.problems import BadInputError
from experiments import release
from hibio import pretrained, released
from hibio.encoders.catalogue import CATALOGUE
from tests.experiments.conftest import call


def test_a_released_model_is_the_checkpoint_it_was_made_from(workdir, tmp_path):
  released.write(workdir, tmp_path / "out", "# Card\n")
  want, got = pretrained.load(workdir), pretrained.load(tmp_path / "out")
  assert jax.tree.structure(want.params) == jax.tree.structure(got.params)
  for one, other in zip(jax.tree.leaves(want.params), jax.tree.leaves(got.params), strict=True):
    np.testing.assert_array_equal(one, other)
  assert got.model == want.model
  assert got.meta == want.meta
  for name in ("panel.tsv", "corpus.npz"):
    assert (tmp_path / "out" / name).read_bytes() == (workdir / name).read_bytes()
  with pytest.raises(BadInputError, match="already there"):
    released.write(workdir, tmp_path / "out", "# Card\n")
  (tmp_path / "out" / released.CARD).write_text("# Edited\n")
  pretrained.load(tmp_path / "out")


@pytest.mark.parametrize(
  "name", [released.PARAMETERS, released.META, released.DIGESTS, "corpus.npz", "panel.tsv"]
)
def test_no_bit_of_a_released_model_changes_unseen(tmp_path, name):
  shutil.copytree(released.folder_of("tiny-synthetic"), tmp_path / "model")
  path = tmp_path / "model" / name
  raw = bytearray(path.read_bytes())
  raw[len(raw) // 2] ^= 1
  path.write_bytes(raw)
  with pytest.raises(BadInputError, match="released model: found not readable"):
    pretrained.load(tmp_path / "model")
  path.unlink()
  with pytest.raises(BadInputError, match="released model: found not readable"):
    pretrained.load(tmp_path / "model")


@pytest.mark.parametrize("meta", ["{}", '{"config": {"model": 3}}', '{"config": null}'])
def test_a_whole_model_with_settings_of_no_use_is_one_line(tmp_path, meta):
  shutil.copytree(released.folder_of("tiny-synthetic"), tmp_path / "model")
  (tmp_path / "model" / released.META).write_text(meta)
  released.seal(tmp_path / "model")
  with pytest.raises(BadInputError, match="model: checkpoint: found settings that are of no use"):
    pretrained.load(tmp_path / "model")


def test_a_release_that_fails_leaves_nothing(workdir, tmp_path, monkeypatch):
  def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")

  monkeypatch.setattr(shutil, "copyfile", full)
  with pytest.raises(BadInputError, match=r"no room left .*expected about [\d,]+ bytes"):
    released.write(workdir, tmp_path / "out", "# Card\n")
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", released.shipped())
def test_a_model_that_comes_with_the_library_is_small_and_says_what_it_is(name):
  folder = released.folder_of(name)
  assert sum(path.stat().st_size for path in folder.iterdir()) <= 2e6
  card = (folder / released.CARD).read_text()
  assert "synthetic tissue only" in card
  assert "no real biology" in card
  assert "python -m experiments.evaluate" in card
  assert "| chance |" in card
  assert "baseline" in card
  assert "untrained" in card


def test_the_card_s_command_is_the_one_of_the_recipe():
  card = (released.folder_of("tiny-synthetic") / released.CARD).read_text()
  command = next(line.strip() for line in card.splitlines() if "experiments.evaluate" in line)
  assert command in " ".join(release.__doc__.replace("\\\n", " ").split())


def test_a_folder_of_the_user_comes_before_a_model_of_the_same_name(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert released.folder_of("tiny-synthetic").is_absolute()
  (tmp_path / "tiny-synthetic").mkdir()
  assert not released.folder_of("tiny-synthetic").is_absolute()


@pytest.mark.parametrize("content", ["{", "[]", '{"rows": 3}'])
def test_results_that_are_none_are_one_line(tmp_path, content):
  (tmp_path / "results.json").write_text(content)
  done = call(
    "experiments.release", "--checkpoint=tiny-synthetic", f"--evaluation={tmp_path}",
    f"--output={tmp_path / 'out'}",
  )  # fmt: skip
  assert done.returncode == 3
  assert "results.json: content: found no results" in done.stderr


def test_weights_under_terms_are_not_handed_on_and_open_ones_name_their_licence():
  model = pretrained.load(released.folder_of(released.shipped()[0]))
  release.refuse_gated(model)
  about = {name: CATALOGUE[name].about() for name in ("uni", "efficientnet_lite0")}
  model.meta["config"]["pretrained"] = about["uni"]
  with pytest.raises(BadInputError, match="the weights of uni"):
    release.refuse_gated(model)
  model.meta["config"]["pretrained"] = about["efficientnet_lite0"]
  release.refuse_gated(model)
  card = release.card("it", model, {"rows": [], "command": "none"}, "")
  assert "| image encoder | efficientnet_lite0, licence: Apache-2.0 |" in card
