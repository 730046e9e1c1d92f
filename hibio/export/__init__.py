"""A trained model over sections that it has not seen: AnnData in, AnnData out.

The last step of the data's way. Alone in the library it reads sections (`data_pipelines`), because
a model is only used right on spots that are read, cut and counted as those it was trained on.
"""
