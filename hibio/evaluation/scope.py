"""What of a corpus is scored: donors, sections, labels, as asked for or as the corpus suggests."""

from __future__ import annotations

from collections.abc import Sequence

from data_pipelines.loading import splitting
from data_pipelines.loading.corpus import Corpus
from data_pipelines.problems import BadInputError

SAME_PATIENT = " (other sections of the same patient were trained on)"


def scored_donors(corpus: Corpus, wanted: tuple[str, ...]) -> tuple[str, ...]:
  """Who is scored: those asked for, else the corpus' test donors, else all of them."""
  every = tuple(dict.fromkeys(s["donor_id"] for s in corpus.manifest["sections"]))
  for name in wanted:
    if name not in every:
      raise BadInputError(
        "--donors", "donor", repr(name), f"some of {', '.join(every)}", "correct the name"
      )
  return wanted or tuple(corpus.manifest["splits"]["test"]) or every


def described(corpus: Corpus, donors: Sequence[str]) -> str:
  """Who is scored, in words, for `Row.split`: donors, or sections that were held out alone."""
  names = ", ".join(donors)
  if not splitting.is_by_section(corpus.manifest):
    return f"donors {names}"
  scored, trained = (
    {splitting.patient_of(section) for section in corpus.manifest["sections"] if is_meant(section)}
    for is_meant in (lambda s: s["donor_id"] in donors, lambda s: s["split"] == "train")
  )
  return f"sections {names}" + (SAME_PATIENT if scored & trained else "")


def check_sections(corpus: Corpus, donors: tuple[str, ...], wanted: tuple[str, ...]) -> None:
  """Refuses sections that are not of these donors.

  Raises:
    BadInputError: one that is wanted is not.
  """
  known = [s["section_id"] for s in corpus.manifest["sections"] if s["donor_id"] in donors]
  for name in wanted:
    if name not in known:
      raise BadInputError(
        "--sections", "section", repr(name), f"some of {', '.join(known)}",
        "name sections of the donors that are scored",
      )  # fmt: skip


def labels_of(corpus: Corpus, wanted: str) -> tuple[str, ...]:
  """The label columns to score: the one that is wanted, or all with two classes or more.

  Raises:
    BadInputError: the corpus has no such label, or one class of it.
  """
  labels = corpus.manifest["labels"]
  names = tuple(name for name, classes in labels.items() if len(classes) > 1)
  if wanted in labels and wanted not in names:
    raise BadInputError(
      corpus.path,
      f"label {wanted}",
      f"one class ({', '.join(labels[wanted]) or 'none'})",
      "two classes or more",
      "label other spots too, or score another label",
    )
  if wanted and wanted not in names:
    raise BadInputError(
      corpus.path,
      "label",
      wanted,
      f"one of {', '.join(names) or 'none'}",
      "pass --label=NAME with a label of the corpus",
    )
  return (wanted,) if wanted else names


def label_of(corpus: Corpus, wanted: str) -> str:
  """One label: the one that is wanted, else that with most names; "" where the corpus has none.

  Raises:
    BadInputError: the corpus has no such label.
  """
  labels = corpus.manifest["labels"]
  return max(labels_of(corpus, wanted), key=lambda name: len(labels[name]), default="")
