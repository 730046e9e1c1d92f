"""The names under which results lie in an AnnData: one place, so that all of them can be removed.

X_hibio          the spot in the shared space: the unit-norm mean of its image and gene embedding
X_hibio_image    unit-norm image embedding
X_hibio_gene     unit-norm gene embedding
hibio_pathways   cosine of the spot and each pathway's anchor
hibio_predicted  expression standardised in its section, as the model reads it off the embedding
hibio_sees       what the model had of the spot itself (see `SEES`)
hibio_domain_1   region of the spot at each level, finest first; contiguous and nested

A row of zeros among embeddings, and of NaN among scores, means that nothing is known of the spot.
"""

FUSED, IMAGE, GENE = "X_hibio", "X_hibio_image", "X_hibio_gene"
PATHWAYS, PREDICTED = "hibio_pathways", "hibio_predicted"
SEES, DOMAIN, UNS = "hibio_sees", "hibio_domain_", "hibio"

SEES_VALUES = ("both", "image", "gene", "neighbours", "nothing")
"""Its patch and its counts; one of them; neither, but neighbours of which something is known; or
nothing at all."""

OBSM = (FUSED, IMAGE, GENE, PATHWAYS, PREDICTED)


def is_ours(group: str, name: str) -> bool:
  """Whether an entry of `obs`, `obsm`, `layers` or `uns` is one of these."""
  if group == "obs":
    return name == SEES or name.startswith(DOMAIN)
  return name in {"obsm": OBSM, "layers": (PREDICTED,), "uns": (UNS,)}[group]
