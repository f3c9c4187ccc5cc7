"""The attribution of one text, as a record."""

import os
import sys

from rich.console import Console

from jaxlm import io
from jaxlm.attribution.results._fields import AttributionFields
from jaxlm.attribution.results._html import html_fragment, html_page
from jaxlm.attribution.results._json import save_attributions
from jaxlm.attribution.results._scaling import difference
from jaxlm.attribution.results._terminal import TerminalHeatMap


class Attribution(AttributionFields):
    """How much each input token moved each explained prediction of one text.

    Letters: `T` tokens of the row that the model (of an encoder-decoder: its decoder) reads, `S` tokens that
    an encoder reads, `N` explained predictions, `D` the model's width.

    Attributes:
      tokens: the row of tokens as readable strings, T of them; predicted tokens that belong to the row stand
        at its end.
      token_ids: `Int32[T]`. The ids of `tokens`; -1 for a unit of several tokens.
      positions: `Int32[N]`. The index in `tokens` of each explained token; for a masked model the masks. -1:
        the token is not in the row.
      targets: `Int32[N]`. The ids of the explained tokens; -1 for a unit of several tokens.
      target_tokens: the explained tokens as readable strings, N of them.
      scores: `Float[T N]`, or `Float[T N D]` with one number for each dimension of the embeddings. NaN where
        the prediction does not see the token. None: only `source_scores` were asked for.
      source_tokens: the encoder's tokens as readable strings, S of them; None for other models.
      source_ids: `Int32[S]`. The ids of `source_tokens`.
      source_scores: `Float[S N]`, or `Float[S N D]`. None: the model has no encoder.
      step_scores: for the name of each further step function its numbers, `Float[N]`.
      values: `Float[N]`. The explained step function of each prediction; None if the method explains no step
        function.
      baseline_values: `Float[N]`. The step function at the method's baseline; None if it has no baseline.
      completeness_error: `Float[N]`. |sum of all scores - (values - baseline_values)|; None if the scores of
        the method do not add up to that difference.
      contrast_tokens: what each explained token is compared with, N strings; None without a contrast.
      method: the method's name.
      settings: the method's settings, as JSON values.
      step_function: the name of the explained step function, with the options that were set.
      unit: the unit of `values`, such as "nats" or "probability"; "" if it is unknown.
      is_signed: whether the sign of a score means something: above 0 the token raised the step function.
      fingerprint: the SHA-256 of the model's parameters, `pretrained.weights_fingerprint`; "" if unknown.
      model: the model in words, such as the name that it was opened by; "" if unknown.

    Example:
      >>> import numpy as np
      >>> from jaxlm.attribution import Attribution
      >>> scores = np.array([[0.5, 0.1], [np.nan, 0.3], [np.nan, np.nan]], np.float32)
      >>> ids = np.array([5, 6, 7], np.int32)
      >>> positions = np.array([1, 2], np.int32)
      >>> result = Attribution(("To", " be", " or"), ids, positions, ids[1:], (" be", " or"), scores)
      >>> result.scores.shape, result.unit
      ((3, 2), '')
    """

    __slots__ = ()

    def __sub__(self, other: AttributionFields) -> "Attribution":
        """Returns the difference of two attributions, score by score (see `difference`)."""
        return difference(self, other)

    def show(self, *, width: int | None = None) -> None:
        """Prints a heat map: tokens down, predictions across, the step functions' numbers below.

        Each cell has its score as a number on a colour; without colours, as in a file, the numbers stay. A
        wide table is cut into panels. Nothing is printed twice in a notebook: there a record that ends a cell
        shows itself by `_repr_html_`.

        Args:
          width: in characters; None: that of the terminal, or 80 where there is none.

        Example:
          >>> import numpy as np
          >>> from jaxlm.attribution import Attribution
          >>> ids, scores = np.array([5, 6]), np.array([[0.5], [np.nan]], np.float32)
          >>> result = Attribution(("To", " be"), ids, ids[:1] - 4, ids[1:], (" be",), scores)
          >>> result._replace(method="saliency").show(width=60)
          saliency
          -0.500                        +0.500; empty: not seen
          <BLANKLINE>
                  ▁be
           ──────────
           To  +0.500
          <BLANKLINE>
          scores  above 0 a token raises it, below 0 it lowers it
        """
        console = Console(
            file=sys.stdout, markup=False, highlight=False, emoji=False, force_jupyter=False, width=width
        )
        console.print(TerminalHeatMap(self))

    def _repr_html_(self) -> str:
        """Returns the heat map as HTML, as notebooks show the value of a cell."""
        return html_fragment(self)

    def write_html(self, path: str | os.PathLike[str]) -> None:
        """Writes a page with the heat map; it works without network (see `html_page`).

        Args:
          path: the path of the HTML file; an older file is replaced as a whole.

        Raises:
          WriteError: the file cannot be written.

        Example:
          >>> import tempfile
          >>> from pathlib import Path
          >>> import numpy as np
          >>> from jaxlm.attribution import Attribution
          >>> ids, scores = np.array([5, 6]), np.array([[0.5], [np.nan]], np.float32)
          >>> result = Attribution(("To", " be"), ids, ids[:1] - 4, ids[1:], (" be",), scores)
          >>> path = Path(tempfile.mkdtemp(), "map.html")
          >>> result.write_html(path)
          >>> path.read_text(encoding="utf-8")[:15]
          '<!DOCTYPE html>'
        """
        io.write_text(path, html_page([self]))

    def save(self, path: str | os.PathLike[str], *, is_compact: bool = True) -> None:
        """Writes the attribution as JSON, which `open_attributions` opens again exactly.

        Args:
          path: the path of the file; with the ending ".gz" it is compressed.
          is_compact: whether arrays are written as base64 of their bytes. False: as lists of numbers.

        Raises:
          WriteError: the file cannot be written.
          UsageError: a setting is no JSON value.
        """
        save_attributions(path, [self], is_compact=is_compact)
