"""`python -m data_pipelines.synthetic --preset=medium --seed=0 --output=DIR`."""

from __future__ import annotations

from absl import app, flags

from data_pipelines.problems import BadInputError, exits_on_bad_input
from data_pipelines.synthetic import PRESETS, write

_PRESET = flags.DEFINE_string("preset", "medium", f"One of {', '.join(PRESETS)}.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of every draw.", lower_bound=0)
_OUTPUT = flags.DEFINE_string("output", None, "Folder to write to.")


@exits_on_bad_input
def main(_) -> None:
  if not _OUTPUT.value:
    raise BadInputError("--output", "folder", "nothing", "a folder", "add --output=DIR")
  print(write(_PRESET.value, _OUTPUT.value, _SEED.value))


if __name__ == "__main__":
  app.run(main)
