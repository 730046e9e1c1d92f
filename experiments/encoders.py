"""Pretrained image encoders by name: what each reads, under which licence, and whether it is here.

  python -m experiments.encoders
  python -m experiments.encoders --name=uni --weights=pytorch_model.bin

The second form tries whether a file holds the weights of that encoder, and says what its features
will be. `python -m experiments.extract --encoder=NAME` then reads a corpus.
"""

from __future__ import annotations

from data_pipelines import entry

_HOW = """\
With terms to be accepted: first accept them on the page of the repository, and log in once with
hf auth login. A file that you have already:
hibio extract --corpus=CORPUS --encoder=NAME --weights=FILE"""

FLAGS = entry.Flags(__doc__)
_NAME = FLAGS.string("name", None, "Only this one: load it, and say what its features are")
_WEIGHTS = FLAGS.string("weights", None, "File of its weights; default: where they usually lie")


def main() -> None:
  from hibio.encoders import catalogue  # JAX: --help need not wait for it

  if _NAME.value:
    about = catalogue.load(_NAME.value, _WEIGHTS.value).about
    print("\n".join(f"{key}: {value}" for key, value in about.items()))
    return
  entries = catalogue.CATALOGUE.values()
  rows = [("name", "width", "um (px)", "licence", "terms", "weights", "reads")]
  for item in entries:
    views = ", ".join(f"{um:g} ({px})" for um, px in item.views)
    terms = "to be accepted" if item.gated else "open"
    found = "here" if item.source.find() else "not here"
    rows.append((item.name, f"{item.width:,}", views, item.licence, terms, found, item.reads))
  print("\n".join(_aligned(rows)))
  missing = [item for item in entries if not item.source.find()]
  if missing:
    commands = _aligned([(item.name, item.source.fix) for item in missing])
    print("\n".join(["", "What brings the weights that are not here:", "", *commands, "", _HOW]))


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  return [
    "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    for row in rows
  ]


if __name__ == "__main__":
  entry.run(main, FLAGS)
