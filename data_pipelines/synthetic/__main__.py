"""Writes synthetic tissue with planted truth, as Space Ranger folders.

python -m data_pipelines.synthetic --output=DIR [--preset=medium] [--seed=0]
"""

from __future__ import annotations

from data_pipelines import entry
from data_pipelines.synthetic import PRESETS, write

FLAGS = entry.Flags(__doc__)
_PRESET = FLAGS.string("preset", "medium", f"One of {', '.join(PRESETS)}")
_SEED = FLAGS.integer("seed", 0, "Seed of every draw", lower_bound=0)
_OUTPUT = FLAGS.string("output", None, "Folder to write to", required=True)


def main() -> None:
  print(write(_PRESET.value, _OUTPUT.value, _SEED.value))


if __name__ == "__main__":
  entry.run(main, FLAGS)
