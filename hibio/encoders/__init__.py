"""The encoders by name. A new one is a file with a class (see `hibio.encoders.base`) and one line.

`model.image_encoder` and `model.gene_encoder` of the config choose among them.
"""

from __future__ import annotations

from hibio.configs import ModelConfig
from hibio.encoders.base import Encoder, GeneEncoder, ImageEncoder, require
from hibio.encoders.features import FeatureAdapter
from hibio.encoders.gene import KeywordTransformer
from hibio.encoders.pretrained import PretrainedNetwork
from hibio.encoders.vit import VisionTransformer

IMAGE_ENCODERS: dict[str, type[ImageEncoder]] = {
  "vit": VisionTransformer,
  "pretrained": PretrainedNetwork,
  "features": FeatureAdapter,
}
"""Patches, or features made of them beforehand -> a vector a spot."""

GENE_ENCODERS: dict[str, type[GeneEncoder]] = {
  "keywords": KeywordTransformer,
}
"""Keyword genes -> a vector a spot."""


def of(config: ModelConfig, train: bool = False) -> dict[str, Encoder]:
  """Modality -> its encoder; the name of its subtree in the model's parameters is the same.

  Args:
    train: encoders may draw from the stream "context".

  Raises:
    BadInputError: no encoder has the name that the config asks for.
  """
  found = {}
  for modality, name, known in (
    ("image", config.image_encoder, IMAGE_ENCODERS),
    ("gene", config.gene_encoder, GENE_ENCODERS),
  ):
    require(name in known, f"{modality}_encoder", name, f"one of {', '.join(known)}")
    found[modality] = known[name](config, train, name=modality)
  return found
