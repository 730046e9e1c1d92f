"""A trained model for people with an AnnData: what `hibio.load` returns."""

from __future__ import annotations

import collections
import functools
import inspect
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import anndata
import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from data_pipelines.gene_names import GeneNames
from data_pipelines.gene_sets import membership, read_gmt
from data_pipelines.problems import BadInputError
from data_pipelines.readers.annotated import contents
from data_pipelines.readers.annotated.sections import Choices, sections_of
from hibio import pretrained
from hibio.export import results
from hibio.export.counts import counts_alone
from hibio.export.reader import Reader
from hibio.export.results import InMemory
from hibio.export.sections import Settings, about_checkpoint, predicted_genes, write_sections
from hibio.pathways import marker_anchors

Modality = Literal["image", "gene"]
_QUERIES = 256
"""Rows compared with a gallery at a time."""


def _for_python(method: Callable) -> Callable:
  """The method, refusing in one line what is no AnnData, and naming arguments where readers name
  flags of the same names."""
  flags = re.compile(rf"--({'|'.join(inspect.signature(method).parameters)})\b")

  @functools.wraps(method)
  def called(self, adata, *rest, **named):
    if not isinstance(adata, anndata.AnnData):
      fix = "read it first: adata = hibio.read(path)"
      raise BadInputError("adata", "type", type(adata).__name__, "an AnnData", fix)
    try:
      return method(self, adata, *rest, **named)
    except BadInputError as problem:
      parts = problem.file, problem.field, problem.found, problem.expected, problem.fix
      raise BadInputError(*(flags.sub(r"\1", part) for part in parts)) from None

  return called


class Model:
  """A trained model.

  Every method leaves the spots and their order as they are. Counts are looked for in
  `layers["counts"]`, `X` and `raw.X`, the H&E image in `uns["spatial"]`.

  Attributes:
    checkpoint: parameters, config and panel, for whoever wants to go deeper.
  """

  def __init__(self, checkpoint: pretrained.Pretrained):
    self.checkpoint = checkpoint

  def __repr__(self) -> str:
    about = self.describe()
    return (
      f"Model({about['name']!r}: {about['num_parameters']:,} parameters, "
      f"{about['num_genes']:,} genes, {len(self.gene_sets)} gene sets, "
      f"trained on {len(about['train_donors'])} donors)"
    )

  @property
  def genes(self) -> list[str]:
    """Symbols of the genes that it knows; the id where two genes share the symbol."""
    panel = self.checkpoint.meta["panel"]
    times = collections.Counter(panel["symbols"])
    pairs = zip(panel["ids"], panel["symbols"], strict=True)
    return [id_ if times[symbol] > 1 else symbol for id_, symbol in pairs]

  @property
  def gene_sets(self) -> list[str]:
    """Names of the gene sets that it was trained with: columns of `obsm["hibio_pathways"]`."""
    return results.column_names(self._reader().tables.names)

  def describe(self) -> dict[str, Any]:
    """Where the model comes from.

    Examples:
      >>> import hibio
      >>> hibio.load("tiny-synthetic").describe()["name"]
      'tiny-synthetic'
    """
    about = self.checkpoint.describe()
    return {
      "name": self.checkpoint.workdir.name,
      "step": about["step"],
      "num_parameters": about["num_parameters"],
      "num_genes": len(self.genes),
      "train_donors": list(self.checkpoint.train_donors),
      "patch_um": self.checkpoint.patch_um,
      "embedding_width": self.checkpoint.model.config.embedding_width,
    }

  @_for_python
  def embed(
    self,
    adata: anndata.AnnData,
    *,
    image: str | os.PathLike | None = None,
    image_scale: float = 1.0,
    um_per_px: float | None = None,
    platform: str | None = None,
    positions: str = "spots",
    layer: str | None = None,
    library_key: str | None = None,
    genome: str | None = None,
    round_counts: bool = False,
    gene_names: str | os.PathLike | None = None,
    new_genes: bool = False,
    domain_um: Sequence[float] | None = None,
    num_domains: int | None = None,
    predict_expression: bool = False,
    weights: str | os.PathLike | None = None,
    copy: bool = False,
  ) -> anndata.AnnData:
    """Adds embeddings, domains and pathway scores to an AnnData; see `hibio.export.results`.

    Spots and genes stay as many and in the order they are; nothing else is changed.

    Args:
      adata: spots with raw counts (`layers["counts"]`, `X` or `raw.X`), an image, or both, and
        positions in `obsm["spatial"]`.
      image: H&E image file, instead of the largest in `uns["spatial"]`.
      image_scale: pixels of that image per pixel of the positions.
      um_per_px: micrometres a pixel of the positions, where the AnnData does not say.
      platform: array that the spots are of, "visium" or "legacy_st", where `array_row` and
        `array_col` of `obs` do not tell: its pitch then gives the scale.
      positions: "swapped" where x and y are exchanged, "as_is" where they are right, whatever it
        looks like.
      layer: matrix of raw counts, by name; "none" reads the image alone.
      library_key: column of `obs` that names sections.
      genome: genome such as GRCh38, or species, whose genes are kept of a matrix of two.
      round_counts: round counts that a correction such as SoupX left with fractions.
      gene_names: table of Ensembl ids and symbols, to find genes by.
      new_genes: also read genes that the model has never seen, by the genes that they are
        expressed with in `adata`; the counts of all sections are then in memory at once.
      domain_um: side that domains aim for at each level, finest first; by default as in
        training; empty for no domains.
      num_domains: kinds of tissue in `obs["hibio_domain"]`, the same in all sections; by default
        as many as are found again, see `uns["hibio"]["domain_stability"]`.
      predict_expression: also `obsm["hibio_predicted"]`, with a column for each gene in
        `uns["hibio"]["predicted_genes"]`, and `layers["hibio_log1p_cp10k"]`; see
        `predict_expression`.
      weights: file of the weights of the image encoder, where the model reads features of one and
        they do not lie where they are looked for.
      copy: leave `adata` alone and add to a copy of it.

    Returns:
      The AnnData that the results are in.

    Raises:
      BadInputError: something in it cannot be used; `adata` is then as it was.

    Examples:
      >>> import hibio
      >>> adata = hibio.load("tiny-synthetic").embed(hibio.synthetic_section())
      >>> adata.obsm["X_hibio"].shape
      (451, 64)
      >>> list(adata.obsm["hibio_pathways"].columns[:2])
      ['ACTIVATION', 'DIFFUSE']
    """
    choices = Choices(
      layer=layer,
      library_key=library_key,
      image=None if image is None else Path(image),
      image_scale=image_scale,
      um_per_px=um_per_px,
      platform=platform,
      positions=positions,
      genome=genome,
      round_counts=round_counts,
    )
    adata = adata.copy() if copy else adata
    settings = Settings(
      domain_um=None if domain_um is None else tuple(map(float, domain_um)),
      num_domains=num_domains,
      predict_expression=predict_expression,
      gene_names=None if gene_names is None else GeneNames.read(Path(gene_names)),
      new_genes=new_genes,
      weights=None if weights is None else Path(weights),
    )
    command = {
      "layer": layer,
      "library_key": library_key,
      "image": choices.image.name if choices.image else None,
      "um_per_px": um_per_px,
      "platform": platform,
      "positions": positions,
      "genome": genome,
      "round_counts": round_counts,
      "new_genes": new_genes,
    }
    sections = sections_of(contents.of_object(adata), choices)
    write_sections(self.checkpoint, sections, adata.var, InMemory(adata), settings, command)
    return adata

  @_for_python
  def predict_expression(
    self,
    adata: anndata.AnnData,
    genes: str | Sequence[str] | None = None,
    *,
    um_per_px: float | None = None,
    platform: str | None = None,
    weights: str | os.PathLike | None = None,
  ) -> anndata.AnnData:
    """Expression as it is predicted from the image; from the counts in sections without an image.

    Args:
      adata: as for `embed`.
      genes: by the names in `adata` or by their symbols; genes that were not measured are welcome.
        By default every gene of `adata` that the model knows, or its whole panel where `adata` has
        no genes.
      um_per_px, platform, weights: as for `embed`.

    Returns:
      A new AnnData of the same spots with the predicted genes, and no others, in `X`; NaN in spots
      of which nothing is known. It has the positions and the image of `adata`, and plots as it
      does. In units that compare sections, log1p of counts per 10,000, they are in
      `layers["hibio_log1p_cp10k"]`. In `X`: by a readout that is stored with the checkpoint, from
      the image, the same about the training sections' mean, with the spread over readouts fitted
      without some training sections in `layers["hibio_sd"]`, and in `var` the correlation with what
      was measured in sections that a fit had not seen (`hibio_r`, its spread `hibio_r_sd`) and the
      highest that the noise of counting allows (`hibio_ceiling`). Else by the model's own head:
      standardised in the section (mean 0, standard deviation 1).
      `uns["hibio"]["sections"]["predicted_by"]` says which of the two.

    Raises:
      BadInputError: something in `adata` cannot be used, or a gene that the model does not know.

    Examples:
      >>> import hibio
      >>> predicted = hibio.load("tiny-synthetic").predict_expression(
      ...   hibio.synthetic_section(), genes=["GLANDULAR1", "FIBROUS3"]
      ... )
      >>> predicted.shape, list(predicted.var_names)
      ((451, 2), ['GLANDULAR1', 'FIBROUS3'])
    """
    genes = [genes] if isinstance(genes, str) else genes
    of = predicted_genes(self._reader().panel, adata.var, genes)
    shell = anndata.AnnData(obs=adata.obs[[]].copy(), var=pd.DataFrame(index=pd.Index(of.names)))
    settings = Settings(
      domain_um=(),
      predict_expression=True,
      genes=None if genes is None else tuple(genes),
      weights=None if weights is None else Path(weights),
    )
    choices = Choices(um_per_px=um_per_px, platform=platform)
    sections = sections_of(contents.of_object(adata), choices)
    write_sections(self.checkpoint, sections, adata.var, InMemory(shell), settings)
    found = anndata.AnnData(
      X=shell.obsm[results.PREDICTED],
      obs=adata.obs.assign(**{results.SEES: shell.obs[results.SEES]}),
      var=shell.var,
      layers=dict(shell.layers),
      uns={results.UNS: shell.uns[results.UNS]},
      obsm={key: adata.obsm[key] for key in contents.POSITION_KEYS if key in adata.obsm},
    )
    if results.PREDICTED_SD in shell.obsm:
      found.layers["hibio_sd"] = shell.obsm[results.PREDICTED_SD]
      reliability = shell.uns[results.UNS]["predicted_reliability"]
      found.var[list(reliability)] = reliability.to_numpy()
    if "spatial" in adata.uns:
      found.uns["spatial"] = adata.uns["spatial"]
    return found

  def retrieve(
    self,
    query: anndata.AnnData,
    gallery: anndata.AnnData | None = None,
    *,
    k: int = 5,
    query_by: Modality = "image",
    gallery_by: Modality = "gene",
    um_per_px: float | None = None,
    platform: str | None = None,
  ) -> pd.DataFrame:
    """The spots of a gallery that are most like each spot of a query, across modalities.

    Image and expression lie in one space: an H&E patch finds profiles, and a profile finds patches.

    Args:
      query: as for `embed`; what has been embedded by this model already is not embedded again.
      gallery: likewise; by default the query itself: a spot's own partner is then the right answer.
      k: matches of each spot.
      query_by: what is known of the spots of the query.
      gallery_by: what is known of the spots of the gallery.
      um_per_px, platform: as for `embed`, of both; where the two differ, embed them first.

    Returns:
      `k` rows a spot, best first: `query` and `match` (names of spots), `rank` from 1 on and
      `similarity`, a cosine. Spots without the modality that is asked for are left out.

    Raises:
      BadInputError: `k` below 1, or an AnnData without that modality.

    Examples:
      >>> import hibio
      >>> section = hibio.synthetic_section()
      >>> matches = hibio.load("tiny-synthetic").retrieve(section, k=3)
      >>> list(matches.columns), len(matches)
      (['query', 'rank', 'match', 'similarity'], 1353)
    """
    if k < 1:
      raise BadInputError("k", "value", str(k), "1 or more", "ask for one match at least")
    gallery = query if gallery is None else gallery
    asked, rows = self._vectors(query, query_by, um_per_px, platform)
    found, places = self._vectors(gallery, gallery_by, um_per_px, platform)
    names, matches = query.obs_names.to_numpy()[rows], gallery.obs_names.to_numpy()[places]
    k = min(k, len(matches))
    best, similarity = _nearest(asked, found, k)
    return pd.DataFrame(
      {
        "query": names.repeat(k),
        "rank": np.tile(np.arange(1, k + 1), len(names)),
        "match": matches[best.ravel()],
        "similarity": similarity.ravel(),
      }
    )

  def score_gene_sets(
    self,
    adata: anndata.AnnData,
    gene_sets: Mapping[str, Iterable[str]] | str | os.PathLike,
    *,
    by: Modality = "image",
    um_per_px: float | None = None,
    platform: str | None = None,
  ) -> pd.DataFrame:
    """How close each spot lies to gene sets that the model need not have seen, e.g. marker genes.

    Args:
      adata: as for `retrieve`.
      gene_sets: name -> symbols of its genes, or a GMT file. A gene weighs less the more of the
        sets hold it.
      by: what the spots are read from.
      um_per_px, platform: as for `embed`.

    Returns:
      The cosine of each spot with the anchor of each set: a row a spot, a column a set. NaN in
      spots without that modality, and for sets without a gene on the model's panel. It compares
      spots of one section: stain and depth shift all cosines of a section.

    Raises:
      BadInputError: none of the genes is on the model's panel.

    Examples:
      >>> import hibio
      >>> section = hibio.synthetic_section()
      >>> markers = {"glands": ["GLANDULAR1", "GLANDULAR2"], "fibres": ["FIBROUS1", "FIBROUS2"]}
      >>> hibio.load("tiny-synthetic").score_gene_sets(section, markers).shape
      (451, 2)
    """
    if isinstance(gene_sets, Mapping):
      sets = {name: tuple(map(str, genes)) for name, genes in gene_sets.items()}
    else:
      sets = read_gmt(gene_sets)
    reader = self._reader()
    panel = reader.panel
    names, members, _ = membership(sets, panel, min_genes=1, max_genes=len(panel), max_jaccard=1.0)
    anchors = marker_anchors(self.checkpoint.params, members, reader.tables.document_share)
    vectors, rows = self._vectors(adata, by, um_per_px, platform)
    scores = np.full((adata.n_obs, len(names)), np.nan, np.float32)
    scores[rows] = vectors @ np.asarray(anchors).T
    return pd.DataFrame(scores, adata.obs_names, list(names)).reindex(columns=list(sets))

  def keyword_scores(
    self, adata: anndata.AnnData, *, um_per_px: float | None = None, platform: str | None = None
  ) -> pd.DataFrame:
    """How strongly each gene speaks for each spot, from counts alone; what keywords are picked by.

    Returns:
      A row a spot, a column a gene of the panel; 0 for genes that cannot be keywords there.

    Raises:
      BadInputError: no counts, or hardly a gene in common with the model.

    Examples:
      >>> import hibio
      >>> hibio.load("tiny-synthetic").keyword_scores(hibio.synthetic_section()).shape
      (451, 648)
    """
    return self._of_counts(adata, "keyword_scores", self.genes, um_per_px, platform)

  def pathway_activity(
    self, adata: anndata.AnnData, *, um_per_px: float | None = None, platform: str | None = None
  ) -> pd.DataFrame:
    """How active each gene set is in each spot, from counts alone; what scores are compared with.

    Returns:
      A row a spot, a column a gene set, in standard deviations of the section.

    Raises:
      BadInputError: no counts, or hardly a gene in common with the model.

    Examples:
      >>> import hibio
      >>> list(hibio.load("tiny-synthetic").pathway_activity(hibio.synthetic_section()))[:2]
      ['ACTIVATION', 'DIFFUSE']
    """
    return self._of_counts(adata, "activity", self.gene_sets, um_per_px, platform)

  @_for_python
  def _of_counts(
    self,
    adata: anndata.AnnData,
    field: str,
    names: list[str],
    um_per_px: float | None,
    platform: str | None,
  ) -> pd.DataFrame:
    """A field of `CountsAlone` for every spot."""
    choices = Choices(um_per_px=um_per_px, platform=platform)
    reader, config = self._reader(), self.checkpoint.model.config.keywords
    values = np.zeros((adata.n_obs, len(names)), np.float32)
    for section in sections_of(contents.of_object(adata), choices):
      if section.read_counts is None:
        raise BadInputError(
          section.section_id, "counts", "none", "raw counts", "store them in layers['counts']"
        )
      found = counts_alone(section, reader.panel, reader.tables, config)
      values[section.rows] = getattr(found, field)
    return pd.DataFrame(values, adata.obs_names, names)

  @_for_python
  def _vectors(
    self, adata: anndata.AnnData, by: Modality, um_per_px: float | None, platform: str | None
  ) -> tuple[Float[np.ndarray, "known width"], Int[np.ndarray, " known"]]:
    """Embeddings of one modality and the rows of their spots, of those that have it."""
    keys = {"image": results.IMAGE, "gene": results.GENE}
    if by not in keys:
      raise BadInputError("modality", "name", repr(by), "'image' or 'gene'", "name one of the two")
    about = adata.uns.get(results.UNS, {}).get("checkpoint")
    if about != about_checkpoint(self.checkpoint):
      adata = self.embed(adata, copy=True, domain_um=(), um_per_px=um_per_px, platform=platform)
    if keys[by] not in adata.obsm:
      raise BadInputError(
        "adata", by, "no spot has it", f"spots with {'an image' if by == 'image' else 'counts'}",
        "ask for the other modality",
      )  # fmt: skip
    vectors = np.asarray(adata.obsm[keys[by]])
    known = np.flatnonzero(adata.obs[results.SEES].isin(["both", by]))
    return vectors[known], known

  def _reader(self) -> Reader:
    return Reader.of(self.checkpoint)


def load(path: str | os.PathLike) -> Model:
  """The model of a folder, or one that comes with the library; see `hibio.load`."""
  return Model(pretrained.load(path))


def _nearest(
  queries: Float[np.ndarray, "query width"], gallery: Float[np.ndarray, "gallery width"], k: int
) -> tuple[np.ndarray, Float[np.ndarray, "query k"]]:
  """Rows of the gallery with the largest products, best first, and these products."""
  rows, values = [], []
  for start in range(0, len(queries), _QUERIES):
    products = queries[start : start + _QUERIES] @ gallery.T
    best = np.argsort(-products, axis=1, kind="stable")[:, :k]
    rows.append(best)
    values.append(np.take_along_axis(products, best, axis=1))
  return np.concatenate(rows), np.concatenate(values)
