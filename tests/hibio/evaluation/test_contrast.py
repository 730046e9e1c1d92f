"""Batches that the contrast is measured on."""

from unittest import mock

import numpy as np
import pytest

from data_pipelines.loading.corpus import Corpus
from hibio.evaluation import tasks


@pytest.mark.parametrize(("second_has_image", "batches"), [(False, 1), (True, 16)])
def test_windows_that_fit_into_one_batch_are_measured_once(second_has_image, batches):
  sections = [
    {"num_windows": 4, "split": "test"},
    {"num_windows": 9, "split": "test"},
    {"num_windows": 50, "split": "train"},
  ]
  has_image = np.array([True, second_has_image, True])
  corpus = mock.Mock(spec=Corpus, manifest={"sections": sections}, has_image=has_image)
  assert tasks.num_batches(corpus) == batches
