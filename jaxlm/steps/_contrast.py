"""What texts are compared with: other texts, other targets, or both."""

from typing import Any, NamedTuple

import numpy as np

from jaxlm.errors import UsageError
from jaxlm.steps._alignment import Alignment


class Contrast(NamedTuple):
    """The other texts, or other targets, that step functions compare the texts of `step_scores` with.

    A step function makes one number from a prediction; a comparing one, such as the KL divergence, also reads
    the prediction for the contrast. There is one contrast for each text.

    Texts and targets may be given as ids, in rows or as one array `[B, L]`.

    Attributes:
      texts: what the model reads for the contrast instead of the `texts` of `step_scores`: for a causal model
        whole texts or, if there are targets, prompts; for a masked model texts with masks; for an
        encoder-decoder the texts that its encoder reads. None: the `texts` of `step_scores`.
      targets: what the model predicts for the contrast instead of the `targets` of `step_scores`. None: the
        same targets.
      attention_mask: `Bool[B L]`, True = real, for ids that are given as one array. It belongs to `targets`,
        or to `texts` if there are no targets. None: every id is real.
      alignment: which predicted tokens are compared with each other (see `align`): "one_to_one",
        "last_common", or for each text a list of pairs (index of a predicted token of the text, index of one
        of the contrast), counted from 0.
      force_inputs: True: the contrast's logits are computed after the contrast's own tokens. False: the
        logits of the text itself are used, and only the target is taken from the contrast. None:
        `step_scores` takes it as True; `attribution.attribute`, which explains a function of the text's own
        tokens, as False where the function reads a target of the contrast that may differ from the text's.
      text_attention_mask: `Bool[B L]`, True = real, the mask of `texts` if there are `targets`, too, and the
        texts are ids in one array. None: every id is real.

    Example:
      >>> from jaxlm.steps import Contrast
      >>> Contrast(targets=["She went home."], alignment="last_common").alignment
      'last_common'
    """

    texts: Any = None
    targets: Any = None
    attention_mask: Any = None
    alignment: Alignment = "one_to_one"
    force_inputs: bool | None = None
    text_attention_mask: Any = None


def as_contrast(contrast: Any, *, has_targets: bool) -> Contrast:
    """Returns a contrast as a record. Plain texts are other targets if there are targets, else other texts.

    Args:
      contrast: a `Contrast`, a text, or several.
      has_targets: whether `step_scores` was given targets.

    Raises:
      UsageError: if a `Contrast` has neither texts nor targets, has targets although `step_scores` was given
        none, or `force_inputs` is none of True, False and None.

    Example:
      >>> from jaxlm.steps import as_contrast
      >>> as_contrast(["She went home."], has_targets=False).texts
      ['She went home.']
    """
    if not isinstance(contrast, Contrast):
        return Contrast(targets=contrast) if has_targets else Contrast(texts=contrast)
    if contrast.texts is None and contrast.targets is None:
        raise UsageError("a contrast has texts, targets, or both: got neither")
    if not isinstance(contrast.force_inputs, (bool, np.bool_, type(None))):
        raise UsageError(f"force_inputs is True or False: got {contrast.force_inputs!r}")
    if contrast.targets is not None and not has_targets:
        raise UsageError("a contrast has other targets where targets are given: got targets=None; give texts")
    return contrast
