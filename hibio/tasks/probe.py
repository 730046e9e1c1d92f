"""The shape that all probes of expression have.

A probe is given once what it may know, and then answers for one matrix of targets after another:

  predict = probe(fit, spots, test)
  predicted, note = predict(targets)

`fit` are the features of the spots to fit on and `spots` their table: donor and section matter to a
probe that chooses something by cross-validation inside the fitting spots. `test` are the features
to predict from, `targets` the expression of the fitting spots (a row a spot, a column a gene), and
`note` is what a reader of the figure should know.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

Predict = Callable[[np.ndarray], tuple[np.ndarray, str]]
Probe = Callable[[np.ndarray, pd.DataFrame, np.ndarray], Predict]
