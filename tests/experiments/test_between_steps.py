import numpy as np
import pytest

from data_pipelines.loading.corpus import Corpus
from experiments import between_steps
from hibio.configs import TrainingConfig
from hibio.outputs import Keywords, Outputs

TRAINING = TrainingConfig(num_steps=1, windows_per_batch=4, sections_per_batch=2)


@pytest.fixture
def corpus(workdir) -> Corpus:
  return Corpus.open(workdir.parent / "embedded-tiny" / "corpus")


def _outputs(batch) -> Outputs:
  """Images that say which section they are of, and profiles that are all the same."""
  shape = batch.spot_mask.shape
  image = np.zeros((*shape, 8), np.float32)
  image[np.arange(len(image)), :, batch.section_index] = 1.0
  nothing = np.zeros((*shape, 0), np.float32)
  keywords = Keywords(nothing.astype(np.int32), nothing, nothing, nothing.astype(bool))
  fields = dict.fromkeys(Outputs.__dataclass_fields__, np.float32(0))
  return Outputs(**fields | {"image": image, "gene": np.ones_like(image), "keywords": keywords})


def _look(corpus, frozen):
  measure = lambda outputs, batch, tables: {"monitor/spots": batch.spot_mask.sum(), "loss": 1.0}  # noqa: E731
  return between_steps.held_out(corpus, "train", frozen, measure, TRAINING, None, None)


def test_a_look_says_which_modality_gives_its_section_away(corpus):
  found = _look(corpus, lambda params, batch, tables: _outputs(batch))
  assert found["monitor/section_probe_image"] == 1.0
  chance = found["monitor/section_probe_image_chance"]
  assert 0 < chance < 0.9
  assert found["monitor/section_probe_gene"] == pytest.approx(chance)
  assert found["monitor/spots"] > 0
  assert "loss" not in found  # a weighted sum without its weights


def test_outputs_without_embeddings_are_not_probed(corpus):
  assert _look(corpus, lambda params, batch, tables: None).keys() == {"monitor/spots"}
