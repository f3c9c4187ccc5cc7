"""The attribution of one text, as a record."""

from jaxlm.attribution.results._fields import AttributionFields


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
