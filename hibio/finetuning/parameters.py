"""The parameters of a finetuned model, and the plain model that they amount to.

They are a tree of "model" (as it was pretrained, as far as it is not trained), "heads" (of the
task) and "adapters" (of some matrices); the last two only where there are any.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hibio.finetuning import lora
from hibio.finetuning.config import FinetuningConfig


def plain(params: Mapping[str, Any], config: FinetuningConfig) -> Any:
  """The model's parameters with the adapters merged into them: `HiBio` runs on these."""
  if "adapters" not in params:
    return params["model"]
  return lora.merged(params["model"], params["adapters"], config.scale)


def heads(params: Mapping[str, Any]) -> Any:
  """Task -> its head."""
  return params.get("heads", {})
