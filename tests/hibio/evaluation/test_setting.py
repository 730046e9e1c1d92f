"""Who answers, and with what."""

from unittest import mock

import pytest

from hibio.evaluation import methods
from hibio.evaluation.methods import Method
from hibio.pretrained import Pretrained
from hibio.readout import Readout
from tests.hibio.fake import SMALL


@pytest.mark.parametrize(
  ("reads", "kept"),
  [(("features",), True), (("embedding",), False), (("features", "embedding"), False)],
)
def test_the_untrained_model_has_a_readout_that_reads_nothing_of_the_model(
  reads, kept, monkeypatch
):
  monkeypatch.setattr(methods.corpora, "first_window", lambda corpus: None)
  monkeypatch.setattr(methods.forward, "initial_params", lambda *_: {"drawn": 1})
  stored = mock.Mock(spec=Readout, reads=reads)
  trained = Method("hibio", params={"trained": 1}, readout=stored)
  found = methods.untrained(
    mock.Mock(spec=Pretrained, model=mock.Mock(config=SMALL), seed=0), trained
  )
  assert (found.name, found.params) == ("untrained", {"drawn": 1})
  assert found.readout is (stored if kept else None)
