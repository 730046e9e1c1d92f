"""Features of a pretrained image encoder for every spot of a corpus, computed once and kept in it.

  python -m experiments.extract --corpus=CORPUS --encoder=NAME [--weights=FILE]

`python -m experiments.encoders` lists the encoders and what each needs; NAME-untrained is the same
network with weights drawn at random, to compare with. The same command goes on
where it stopped: finished sections are kept. Training reads the features in place of patches with
`--config=experiments/hibio.py:frozen --config.features=NAME`.

Features that were extracted elsewhere are imported instead:

  python -m experiments.extract --corpus=CORPUS --encoder=NAME --from='embeddings/{section}.h5'

FILE is a table (.parquet, .csv, .tsv) with section_id, spot_id and a column a dimension; or, with
{section} in its name, a file a section: HDF5 with `embeddings` and `barcodes` (HEST), HDF5 with
`features` and `coords` (TRIDENT, CLAM), or a .pt of such features (CLAM) beside its coordinates.
"""

from __future__ import annotations

from data_pipelines import entry
from data_pipelines.loading.corpus import Corpus

FLAGS = entry.Flags(__doc__)
_CORPUS = FLAGS.string("corpus", None, "Prepared corpus, its slides where they lay", required=True)
_ENCODER = FLAGS.string("encoder", None, "Name of the encoder", required=True)
_WEIGHTS = FLAGS.string("weights", None, "File of its weights; default: where they usually lie")
_FROM = FLAGS.string("from", None, "File of features extracted elsewhere, to import")
_TOLERANCE_UM = FLAGS.float(
  "tolerance_um", None, "Micrometres from a spot to the middle of its patch; default: half of it"
)
_NAME = FLAGS.string("name", "", "Name of the features in the corpus; default: the encoder's")


def main() -> None:
  corpus = Corpus.open(_CORPUS.value)
  # JAX: a wrong path need not wait for it.
  from hibio import features
  from hibio.encoders import catalogue

  if _FROM.value:
    corpus = features.imported(
      corpus, _FROM.value, _ENCODER.value, _NAME.value, _TOLERANCE_UM.value
    )
  else:
    encoder = catalogue.load(_ENCODER.value, _WEIGHTS.value)
    corpus = features.extract(corpus, encoder, _NAME.value)
  found = corpus.features
  print(
    f"features {found.name}: {found.known.sum():,} of {len(found.known):,} spots,"
    f" {found.values.shape[1]:,} wide: {corpus.feature_store(found.name).folder}"
  )


if __name__ == "__main__":
  entry.run(main, FLAGS)
