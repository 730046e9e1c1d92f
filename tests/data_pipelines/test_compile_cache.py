import os
import subprocess
import sys
import types

from data_pipelines import compile_cache

_COMMAND = """
import jax
from data_pipelines import compile_cache
compile_cache.switch_on()
print(jax.jit(lambda x: x + 1)(1))
"""


def _run(home):
  own = {key: value for key, value in os.environ.items() if not key.startswith("JAX_")}
  own |= {"XDG_CACHE_HOME": str(home), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
  done = subprocess.run(
    [sys.executable, "-c", _COMMAND], env=own, capture_output=True, text=True, timeout=120
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout == "2\n"
  return sorted(home.rglob("*-cache"))


def test_what_one_process_has_compiled_another_one_reads_and_a_damaged_entry_stops_nobody(tmp_path):
  kept = _run(tmp_path)
  assert kept
  for entry in kept:
    entry.write_bytes(b"broken off")
  assert _run(tmp_path) == kept


def test_an_empty_folder_name_switches_it_off(monkeypatch):
  told = {}
  fake = types.SimpleNamespace(config=types.SimpleNamespace(update=told.__setitem__))
  monkeypatch.setitem(sys.modules, "jax", fake)
  monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
  compile_cache.switch_on()
  assert told["jax_compilation_cache_dir"] is None


def test_processors_that_differ_share_no_folder(monkeypatch):
  here = compile_cache.default_folder()
  monkeypatch.setattr(compile_cache, "_processor", lambda: "another")
  assert compile_cache.default_folder() != here


def test_what_was_not_read_for_longest_makes_room(tmp_path, monkeypatch):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
  monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
  monkeypatch.setattr(compile_cache, "_MOST_BYTES", 25)
  monkeypatch.setitem(sys.modules, "jax", None)
  folder = compile_cache.default_folder()
  folder.mkdir(parents=True)
  for name, read in (("first", 30), ("second", 10), ("third", 20)):
    entry = folder / f"{name}-cache"
    entry.write_bytes(bytes(10))
    os.utime(entry, (read, read))
  compile_cache.switch_on()
  assert sorted(path.name for path in folder.iterdir()) == ["first-cache", "third-cache"]
  entry.unlink()
  monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(folder))
  monkeypatch.setattr(compile_cache, "_MOST_BYTES", 1)
  compile_cache.switch_on()
  assert [path.name for path in folder.iterdir()] == ["first-cache"]  # a folder of the user's own
