"""Strict numerics, four simulated devices and a compile cache for every test.

XLA does not optimise what it compiles here: tests compute little, and compile much.
"""

import fcntl
import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
UNOPTIMISED = "--xla_backend_optimization_level=0"
os.environ.setdefault("XLA_FLAGS", f"--xla_force_host_platform_device_count=4 {UNOPTIMISED}")
os.environ.setdefault(
  "JAX_COMPILATION_CACHE_DIR", os.path.join(os.path.dirname(__file__), ".jax_cache")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
os.environ.setdefault("MPLBACKEND", "agg")

from pathlib import Path  # noqa: E402

import jax  # noqa: E402
import pytest  # noqa: E402
from absl import flags  # noqa: E402

flags.FLAGS.mark_as_parsed()
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
  """Folder of real sections, named by HIBIO_TEST_DATA; by default ../shared/data.

  A test that asks for it is skipped where there is none.
  """
  folder = Path(os.environ.get("HIBIO_TEST_DATA", BESIDE))
  if not folder.is_dir():
    pytest.skip(f"no folder {folder} (set HIBIO_TEST_DATA): NOT checked on real tissue")
  return folder


@pytest.fixture(scope="session")
def workdir(tmp_path_factory) -> Path:
  """One tiny run from nothing to a checkpoint, shared by every test that needs one.

  Of the "test" variant; its corpus lies beside it.
  """
  from tests.experiments.conftest import run

  side_by_side = "PYTEST_XDIST_WORKER" in os.environ
  base = tmp_path_factory.getbasetemp()
  path = (base.parent if side_by_side else base) / "pulse" / "run"
  path.parent.mkdir(exist_ok=True)
  with (path.parent / "lock").open("w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)  # the first worker makes it, the others wait
    if not path.exists():
      done = run(
        "experiments.pretrain", "--config=experiments/hibio.py:test", f"--config.workdir={path}"
      )
      assert done.returncode == 0, done.stderr[-2000:]
  return path


@pytest.fixture(scope="session")
def evaluation(workdir):
  """That run, evaluated by every task on its own corpus; shared like the run itself."""
  # Imported late: what is imported before pytest's own start is not checked for types.
  from data_pipelines.loading.corpus import Corpus
  from hibio import pretrained
  from hibio.evaluation import suite

  corpus = Corpus.open(workdir.parent / "synthetic-tiny" / "corpus")
  return suite.evaluate(pretrained.load(workdir), corpus, suite.Options(label="leaf"))
