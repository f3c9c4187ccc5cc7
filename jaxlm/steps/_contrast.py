"""What a run is compared with: other texts, other targets, or both."""

from typing import Any, NamedTuple

import numpy as np

from jaxlm.errors import UsageError
from jaxlm.steps._alignment import Alignment


class Contrast(NamedTuple):
    """The run that step functions compare with; of each text one.

    Texts may be ids, as rows or as one array `[B, L]`.

    Attributes:
      texts: what the model reads in the place of the `texts` of `step_scores`: of a causal model whole texts
        or, with targets, prompts; of a masked model texts with masks; of an encoder-decoder sources. None:
        the same.
      targets: what is predicted in the place of its `targets`. None: the same tokens, after the texts above.
      attention_mask: `Bool[B L]`, True = real, for ids in an array: of `targets`, else of `texts`.
      alignment: which predicted token is compared with which of the contrast, see `align`: "one_to_one",
        "last_common", or for each text pairs of indices among the predicted tokens, counted from 0.
      force_inputs: whether the contrast's logits are those of the contrast's own run. False: they are those
        of the run itself, and only the token that is asked for is the contrast's.
      text_attention_mask: the same as `attention_mask`, of `texts` beside `targets`.

    Example:
      >>> from jaxlm.steps import Contrast
      >>> Contrast(targets=["She went home."], alignment="last_common").force_inputs
      True
    """

    texts: Any = None
    targets: Any = None
    attention_mask: Any = None
    alignment: Alignment = "one_to_one"
    force_inputs: bool = True
    text_attention_mask: Any = None


def as_contrast(contrast: Any, *, has_targets: bool) -> Contrast:
    """Returns a contrast as a record: of plain texts other targets where there are targets, else other texts.

    Args:
      contrast: a `Contrast`, a text, or several.
      has_targets: whether the run itself was given targets.

    Raises:
      UsageError: if a `Contrast` says nothing, or has targets where the run has none.

    Example:
      >>> from jaxlm.steps._contrast import as_contrast
      >>> as_contrast(["She went home."], has_targets=False).texts
      ['She went home.']
    """
    if not isinstance(contrast, Contrast):
        return Contrast(targets=contrast) if has_targets else Contrast(texts=contrast)
    if contrast.texts is None and contrast.targets is None:
        raise UsageError("a contrast has texts, targets, or both: got neither")
    if not isinstance(contrast.force_inputs, (bool, np.bool_)):
        raise UsageError(f"force_inputs is True or False: got {contrast.force_inputs!r}")
    if contrast.targets is not None and not has_targets:
        raise UsageError("a contrast has other targets where targets are given: got targets=None; give texts")
    return contrast
