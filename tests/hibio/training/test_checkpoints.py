import hashlib
import shutil
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from data_pipelines.problems import BadInputError
from hibio.training import intact, sharding, state
from hibio.training.checkpoints import Checkpoints, read_params
from hibio.training.optimizer import make_optimizer
from tests.hibio.training import toy

REGIONS = np.arange(24, dtype=np.int32).reshape(2, 12)
OPTIMIZER = make_optimizer(toy.config())


def _state(step, shape=(1, 1, 1)) -> state.TrainState:
  """A state whose parameters say which step they are of."""
  mesh = sharding.make_mesh(shape)
  params = {"up": {"kernel": jnp.full((8, 16), step, jnp.float32)}}
  return state.create(params, OPTIMIZER, mesh).replace(
    step=sharding.replicate(jnp.int32(step), mesh)
  )


def _like(shape=(1, 1, 1)):
  params = jax.eval_shape(lambda: {"up": {"kernel": jnp.zeros((8, 16))}})
  return state.abstract(params, OPTIMIZER, sharding.make_mesh(shape))


def _restore(workdir, shape=(1, 1, 1), said=None):
  checkpoints = Checkpoints(workdir, 2, (said if said is not None else []).append)
  try:
    return checkpoints.restore(_like(shape), np.zeros_like(REGIONS))
  finally:
    checkpoints.close()


@pytest.fixture(scope="module")
def three(tmp_path_factory):
  """A work directory in which steps 2, 4 and 6 were saved and two kept."""
  workdir = tmp_path_factory.mktemp("three")
  checkpoints = Checkpoints(workdir, keep=2)
  for step in (2, 4, 6):
    checkpoints.save(_state(step), REGIONS + step, {"note": "toy"})
  checkpoints.close()
  return workdir


@pytest.fixture
def saved(three, tmp_path):
  shutil.copytree(three, tmp_path / "run")
  return tmp_path / "run"


def test_the_newest_ones_are_kept_and_come_back_bit_for_bit(three):
  assert sorted(path.name for path in (three / "checkpoints").iterdir()) == ["4", "6"]
  restored = _restore(three)
  for left, right in zip(toy.leaves(restored.state), toy.leaves(_state(6)), strict=True):
    np.testing.assert_array_equal(left, right)
  np.testing.assert_array_equal(restored.regions, REGIONS + 6)
  assert restored.regions.dtype == np.int32
  assert restored.meta == {"note": "toy", "step": 6}


def test_a_checkpoint_goes_onto_another_mesh(three):
  restored = _restore(three, (1, 2, 2))
  kernel = restored.state.params["up"]["kernel"]
  np.testing.assert_array_equal(kernel, np.full((8, 16), 6.0))
  assert kernel.addressable_shards[0].data.shape == (4, 8)


def test_a_checkpoint_of_another_model_is_named_and_not_taken_for_damaged(saved):
  params = jax.eval_shape(lambda: {"up": {"kernel": jnp.zeros((8, 32))}})
  like = state.abstract(params, OPTIMIZER, sharding.make_mesh((1, 1, 1)))
  checkpoints = Checkpoints(saved, 2)
  with pytest.raises(BadInputError, match=r"checkpoints/6: parameters: found others than this"):
    checkpoints.restore(like, np.zeros_like(REGIONS))
  checkpoints.close()
  assert int(_restore(saved).state.step) == 6


def _flip_a_bit(path):
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content)


def _largest(folder):
  return max((path for path in folder.rglob("*") if path.is_file()), key=lambda p: p.stat().st_size)


def _damages(newest):
  """Each way to harm a checkpoint, as (name, what to do)."""
  return {
    "a bit in the parameters": lambda: _flip_a_bit(_largest(newest / "state" / "ocdbt.process_0")),
    "a bit in the regions": lambda: _flip_a_bit(_largest(newest / "regions" / "ocdbt.process_0")),
    "a bit in the meta": lambda: _flip_a_bit(_largest(newest / "meta")),
    "a bit in the list": lambda: _flip_a_bit(newest / intact.NAME),
    "a short file": lambda: (newest / "state" / "_METADATA").write_text("{"),
    "a missing file": lambda: (newest / "state" / "manifest.ocdbt").unlink(),
    "an extra file": lambda: (newest / "state" / "more").write_text("?"),
  }


@pytest.mark.parametrize("name", list(_damages(None)))
def test_damage_is_noticed_and_the_checkpoint_before_is_taken(saved, name, capsys):
  _damages(saved / "checkpoints" / "6")[name]()
  assert intact.damage(saved / "checkpoints" / "6")
  assert read_params(saved)[1]["step"] == 4
  said = capsys.readouterr().err
  assert "checkpoints/6: " in said
  assert "step 4 is read instead" in said


def test_a_hidden_file_that_a_file_browser_left_is_no_damage(saved):
  (saved / "checkpoints" / "6" / "state" / ".DS_Store").write_text("?")
  assert intact.damage(saved / "checkpoints" / "6") == ""


@pytest.mark.parametrize("content", [b"[]", b"[" * 200_000, b'{"files": 3, "folder": "6"}', b"7"])
def test_a_list_made_to_harm_is_damage(saved, content):
  own = hashlib.sha256(content).hexdigest().encode()
  (saved / "checkpoints" / "6" / intact.NAME).write_bytes(own + b"\n" + content + b"\n")
  assert "cannot be read" in intact.damage(saved / "checkpoints" / "6")


def test_a_damaged_checkpoint_is_noted_set_aside_and_written_again(saved):
  folder, said = saved / "checkpoints", []
  _flip_a_bit(_largest(folder / "6" / "state"))
  checkpoints = Checkpoints(saved, 2, said.append)
  restored = checkpoints.restore(_like(), np.zeros_like(REGIONS))
  assert int(restored.state.step) == 4
  assert len(said) == 1
  assert "has changed; set aside as damaged-6, going on from step 4" in said[0]
  checkpoints.save(_state(6), REGIONS, {})
  checkpoints.close()
  assert (folder / "damaged-6").is_dir()
  assert int(_restore(saved).state.step) == 6


def test_where_every_checkpoint_is_damaged_nothing_starts_over_unasked(saved):
  for path in (saved / "checkpoints").iterdir():
    (path / "state" / "manifest.ocdbt").unlink()
  for _ in range(2):  # the second start must not find an empty folder
    with pytest.raises(BadInputError, match=r"step 6: state/manifest\.ocdbt is missing; step 4"):
      _restore(saved)


def test_a_checkpoint_that_was_never_sealed_is_not_believed(saved):
  (saved / "checkpoints" / "6" / intact.NAME).unlink()
  said = []
  assert int(_restore(saved, said=said).state.step) == 4
  assert not (saved / "checkpoints" / "6").exists()
  assert "was never finished" in said[0]


def test_the_first_checkpoint_never_sealed_means_starting_from_the_beginning(saved):
  shutil.rmtree(saved / "checkpoints" / "4")
  (saved / "checkpoints" / "6" / intact.NAME).unlink()
  assert _restore(saved) is None


def test_what_others_have_put_there_is_neither_read_nor_deleted(saved):
  folder = saved / "checkpoints"
  (folder / ".DS_Store").write_text("")
  for name in ("step_10.bak", "8"):
    (folder / name).mkdir()
    (folder / name / "thesis.tex").write_text("do not delete")
  (folder / "9").mkdir()
  assert int(_restore(saved).state.step) == 6
  checkpoints = Checkpoints(saved, keep=2)
  checkpoints.save(_state(8), REGIONS, {})
  checkpoints.close()
  assert int(_restore(saved).state.step) == 8
  assert (folder / "foreign-8" / "thesis.tex").exists()
  assert (folder / "step_10.bak" / "thesis.tex").exists()


def test_a_failed_save_is_told_and_the_next_one_succeeds(saved, monkeypatch):
  said = []
  checkpoints = Checkpoints(saved, 2, said.append)

  def full(self, *_, **__):
    raise OSError(28, "No space left on device")

  with monkeypatch.context() as patch:
    patch.setattr(ocp.CheckpointManager, "save", full)
    checkpoints.save(_state(8), REGIONS, {})
  with monkeypatch.context() as patch:  # in the background
    patch.setattr(intact, "seal", full)
    checkpoints.save(_state(9), REGIONS, {})
    checkpoints.wait()
  assert checkpoints.failed_in_a_row == 2
  assert all("No space left on device" in line for line in said)
  assert sorted(path.name for path in (saved / "checkpoints").iterdir()) == ["4", "6"]
  checkpoints.save(_state(10), REGIONS, {})
  checkpoints.close()
  assert checkpoints.failed_in_a_row == 0
  assert int(_restore(saved).state.step) == 10


def test_a_copy_under_another_number_is_not_believed(saved):
  folder = saved / "checkpoints"
  shutil.copytree(folder / "6", folder / "8")
  assert "a copy of 6" in intact.damage(folder / "8")
  assert read_params(saved)[1]["step"] == 6
  assert int(_restore(saved).state.step) == 6


def test_a_checkpoint_that_is_being_read_is_deleted_only_afterwards(saved):
  folder = saved / "checkpoints"
  checkpoints = Checkpoints(saved, keep=1)
  with intact.kept(folder / "6") as there:
    assert there
    checkpoints.save(_state(8), REGIONS, {})
    checkpoints.wait()
    assert sorted(path.name for path in folder.iterdir()) == ["6", "8"]
  checkpoints.save(_state(9), REGIONS, {})
  checkpoints.close()
  assert sorted(path.name for path in folder.iterdir()) == ["9"]


def test_parameters_can_be_read_while_checkpoints_come_and_go(saved):
  checkpoints, problems, ended = Checkpoints(saved, keep=1), [], threading.Event()

  def read():
    while not ended.is_set():
      try:
        read_params(saved)
      except Exception as error:
        problems.append(error)

  reader = threading.Thread(target=read)
  reader.start()
  for step in range(8, 16):
    checkpoints.save(_state(step), REGIONS, {})
  checkpoints.close()
  ended.set()
  reader.join()
  assert not problems


def test_a_folder_that_cannot_be_made_fails_the_save_and_not_the_end(saved):
  checkpoints = Checkpoints(saved, 2, (said := []).append)
  shutil.rmtree(saved / "checkpoints")
  (saved / "checkpoints").write_text("in the way")
  begun = time.monotonic()
  checkpoints.save(_state(8), REGIONS, {})
  checkpoints.close()
  assert time.monotonic() - begun < 5
  assert checkpoints.failed_in_a_row == 1
  assert "checkpoint of step 8 FAILED" in said[0]


def test_parameters_are_read_without_the_rest_and_without_touching_the_disk(three):
  before = intact._digests(three)
  params, meta = read_params(three)
  np.testing.assert_array_equal(params["up"]["kernel"], np.full((8, 16), 6.0))
  assert list(params) == ["up"]
  assert meta["step"] == 6
  assert intact._digests(three) == before


def test_a_folder_without_checkpoints_is_named(tmp_path):
  with pytest.raises(BadInputError, match="give the work directory of a pretraining run"):
    read_params(tmp_path)
