"""Step functions of many texts: one forward pass of the model for all positions of a text."""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxlm import models, pretrained, tokenizers
from jaxlm.devices import Layout, local_layout
from jaxlm.errors import UsageError
from jaxlm.steps._contrast import Contrast, as_contrast
from jaxlm.steps._dropout_model import as_key, check_dropout_model, choose_dropout_model
from jaxlm.steps._encoded_pairs import encode_pairs
from jaxlm.steps._encoded_texts import TextReader
from jaxlm.steps._forward import StepProgram, compile_step, stack_step_batches
from jaxlm.steps._functions import check_choice
from jaxlm.steps._layout import EncodedPair, StepBatch, fill_rows, plan_rows
from jaxlm.steps._table import SPANS, StepFunction, resolve_step_functions

# Positions of a batch on a CPU and elsewhere, for models up to this width; wider models get fewer.
CPU_POSITIONS, POSITIONS, WIDTH = 1024, 65_536, 1024
# Batches in flight: so many are dispatched before the results of the first one are fetched.
MAX_IN_FLIGHT = 4


class TextScores(NamedTuple):
    """The step functions' numbers for one text, which has M predicted tokens.

    Attributes:
      tokens: `Int32[M]`. The predicted ids; for a masked model without targets the ids of the mask tokens.
      strings: each predicted token as a readable string.
      offsets: `Int32[M]`. The index of each predicted token among the ids of the text; for an
        encoder-decoder, among the ids of the target.
      contrast_tokens: `Int32[M]`. The id that each token is compared with; -1 if there is none for it. None
        if the text has no contrast.
      values: for each function's name its numbers, `Float32[M]`; NaN at a token that a comparing function has
        no token to compare with.
      spans: for each function's name one number for all tokens, combined as `StepFunction.span` says. Tokens
        whose value is NaN are left out.
    """

    tokens: np.ndarray
    strings: list[str]
    offsets: np.ndarray
    contrast_tokens: np.ndarray | None
    values: dict[str, np.ndarray]
    spans: dict[str, float]


def step_scores(
    loaded: pretrained.Loaded,
    texts: Any,
    functions: Any,
    *,
    targets: Any = None,
    contrast: Any = None,
    attention_mask: Any = None,
    text_attention_mask: Any = None,
    rng: jax.Array | None = None,
    n_mcd_steps: int = 10,
    aux_model: pretrained.Loaded | None = None,
    target_tokenizer: tokenizers.Tokenizer | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> list[TextScores]:
    """Returns the step functions' numbers for every predicted token of every text.

    A step function makes one number from a prediction, such as its entropy or the target's probability.

    A text takes one forward pass of the model, a second one for a contrast, and `n_mcd_steps` more if a
    function needs dropout; the number of functions does not matter. Texts are packed into rows of few
    lengths; batch and padding change the numbers by rounding only. Draws under dropout depend only on the key
    and on the ids that the model reads.

    What the model predicts:

    - A causal model: every token that has a token before it. Texts are read as `jaxlm score` reads them. With
      targets the texts are prompts, which are read as in generation. A target is then a whole text that
      begins with its prompt, and the tokens after the prompt are predicted.
    - A masked model: the tokens at the masks of a text; targets are the texts without masks.
    - An encoder-decoder: the targets given the texts that its encoder reads, including the token that closes
      a target.

    Nothing is added to texts and targets that are given as ids.

    Args:
      loaded: a causal LM, a masked LM or an encoder-decoder, as `pretrained.load` returns it.
      texts: a text, several texts, rows of ids, or one array of ids `[B, L]`.
      functions: a name of `STEP_FUNCTIONS`, a result of `step_function`, a callable that takes a
        `StepInputs`, or a list of these.
      targets: one target for each text, in the form that is described above. A masked model needs targets for
        functions that read the target. None: there are no targets beside the texts.
      contrast: what comparing functions compare the texts with: a `Contrast`, or texts, which stand for other
        targets if `targets` is given, and for other texts otherwise. None: nothing is compared.
      attention_mask: `Bool[B L]`, True = real, for ids that are given as one array. It belongs to `targets`,
        or to `texts` if there are no targets. None: every id is real.
      text_attention_mask: `Bool[B L]`, True = real, the mask of `texts` if there are `targets`, too. None:
        every id is real.
      rng: a PRNG key for dropout and for functions that draw random numbers. None: no function needs one.
      n_mcd_steps: how often each text is read under dropout, if a function needs that.
      aux_model: the model that is run under dropout, of the same kind and vocabulary; None: the model itself.
      target_tokenizer: the tokenizer of an encoder-decoder's targets, if it differs from the tokenizer of the
        texts, as for Marian (`tokenizers.load_tokenizer(folder, side="target")`); None: the model's only
        tokenizer.
      devices: the local devices that are used; None: all local devices, or only one if there is a single
        batch.

    Returns:
      One `TextScores` for each text, in order.

    Raises:
      UsageError: if a name is unknown, an argument that a function needs is missing, an argument is given
        that no function reads, targets or contrasts do not belong to the texts, or a text is too long, empty,
        or without a mask. The message has the number of the text.
      TypeError: if `loaded` or `aux_model` is not a `pretrained.Loaded`, or a text is neither a string nor a
        row of ids.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models, pretrained, tokenizers
      >>> from jaxlm.steps import step_scores
      >>> config = models.TransformerConfig(vocab_size=260, width=8, depth=1, num_heads=2, causal=True)
      >>> model, tokenizer = models.build(config, "causal_lm"), tokenizers.bytes_tokenizer()
      >>> params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
      >>> loaded = pretrained.Loaded(config, "causal_lm", model, params, tokenizer, {})
      >>> scores = step_scores(loaded, ["To be", "To go"], ["entropy", "probability"])
      >>> scores[0].values["entropy"].shape, sorted(scores[1].spans)
      ((4,), ['entropy', 'probability'])
      >>> scores = step_scores(loaded, "To be", "pcxmi", contrast="To go")[0]
      >>> scores.values["pcxmi"][:2].tolist()  # both begin alike
      [0.0, 0.0]
    """
    rows = resolve_step_functions(functions)
    reader = TextReader(loaded, target_tokenizer)
    compared = None if contrast is None else as_contrast(contrast, has_targets=targets is not None)
    _check_asked(rows, reader.kind, targets, compared, rng)
    rng, layout = as_key(rng), local_layout(devices)
    noisy = choose_dropout_model(rows, loaded, aux_model, n_mcd_steps)
    pairs = encode_pairs(reader, texts, targets, (attention_mask, text_attention_mask), compared)
    program = StepProgram(
        loaded.model,
        rows,
        None if noisy is None else noisy.model,
        0 if noisy is None else n_mcd_steps,
        layout,
    )
    check_dropout_model(noisy, loaded, pairs)
    params = (loaded.params, None if noisy is None else noisy.params)
    starts = np.cumsum([0, *(len(pair.text.positions) for pair in pairs)])
    values = np.full((len(rows), starts[-1]), np.nan, np.float32)
    for index, numbers in _compute(program, params, rng, pairs):
        values[:, starts[index] : starts[index + 1]] = numbers
    return [
        _text_scores(reader, rows, pair, values[:, start:stop])
        for pair, start, stop in zip(pairs, starts[:-1], starts[1:], strict=True)
    ]


def _compute(
    program: StepProgram, params: tuple[Any, Any], rng: jax.Array | None, pairs: list[EncodedPair]
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields the index of each pair and its numbers, `Float32[functions M]`."""
    if not pairs:
        return
    config, layout = program.model.config, program.layout
    most = CPU_POSITIONS if layout.target.platform == "cpu" else POSITIONS
    plans = plan_rows(
        pairs,
        positions=most * WIDTH // max(config.width, WIDTH),
        longest=min(models.longest_text(model.config) for model in program.models),
        draws=program.noisy_model is not None,
        num_devices=len(layout.devices),
    )
    batches = [fill_rows(pairs, plan) for plan in plans]
    if len(batches) == 1:  # other devices would get the parameters and no batch
        layout = Layout(layout.devices[:1])
    step = compile_step(program._replace(layout=layout))
    replicated = layout.replicate(params)
    in_flight: deque[tuple[list, tuple[jax.Array, ...]]] = deque()
    for group in _group_by_devices(batches, len(layout.devices)):
        answers = [answer for _, answer in group]
        stacked = stack_step_batches([batch for batch, _ in group])
        in_flight.append((answers, step(*replicated, rng, stacked)))
        if len(in_flight) == MAX_IN_FLIGHT:
            yield from _fetch(*in_flight.popleft())
    while in_flight:
        yield from _fetch(*in_flight.popleft())


def _group_by_devices(
    batches: list[tuple[StepBatch, list]], num_devices: int
) -> Iterator[list[tuple[StepBatch, list[tuple[int, slice]]]]]:
    """Yields groups of batches of one shape, one batch for each device; missing ones are empty."""
    by_shape: dict[Any, list] = {}
    for batch, answers in batches:
        shape = tuple(leaf.shape for leaf in jax.tree.leaves(batch))
        by_shape.setdefault(shape, []).append((batch, answers))
    for alike in by_shape.values():
        empty = (jax.tree.map(np.zeros_like, alike[0][0]), [])
        for start in range(0, len(alike), num_devices):
            chunk = alike[start : start + num_devices]
            yield chunk + [empty] * (num_devices - len(chunk))


def _fetch(
    answers: list[list[tuple[int, slice]]], values: tuple[jax.Array, ...]
) -> Iterator[tuple[int, np.ndarray]]:
    """Waits for the results of a group of batches, and yields those of each pair."""
    arrays = np.stack([np.asarray(array) for array in values])
    for device, own in enumerate(answers):
        for index, span in own:
            yield index, arrays[:, device, span]


def _text_scores(
    reader: TextReader, rows: tuple[StepFunction, ...], pair: EncodedPair, values: np.ndarray
) -> TextScores:
    text, partners = pair.text, pair.partners
    by_name, others = {}, None
    if pair.contrast is not None and partners is not None:
        others = np.where(partners < 0, -1, pair.contrast.targets[np.maximum(partners, 0)]).astype(np.int32)
    for row, numbers in zip(rows, values, strict=True):
        is_missing = row.needs_contrast and partners is not None and partners < 0
        by_name[row.name] = np.where(is_missing, np.float32(np.nan), numbers)
    spans = {row.name: over_span(by_name[row.name], row.span) for row in rows}
    return TextScores(text.targets, reader.strings(text.targets), text.offsets, others, by_name, spans)


def _check_asked(
    rows: tuple[StepFunction, ...], kind: str, targets: Any, contrast: Contrast | None, rng: Any
) -> None:
    """Checks that the functions have the arguments that they need, and that all given ones are read."""
    comparing = [row for row in rows if row.needs_contrast]
    drawing = [row for row in rows if row.needs & {"noisy_logits", "rng"}]
    if comparing and contrast is None:
        raise UsageError(f"{comparing[0].name} compares two runs: give contrast=..., other texts or targets")
    if contrast is not None and not comparing:
        raise UsageError(f"a contrast is given, and none of {_names(rows)} compares; leave it out")
    if drawing and rng is None:
        raise UsageError(f"{drawing[0].name} draws: give rng=jax.random.key(seed)")
    if rng is not None and not drawing:
        raise UsageError(f"a key is given, and none of {_names(rows)} draws; leave rng out")
    needy = next((row for row in rows if row.needs & {"targets", "contrast_targets"}), None)
    if kind == "masked" and targets is None and needy is not None:
        raise UsageError(f"{needy.name} reads the token at a mask: give targets=..., the texts without masks")
    if contrast is not None and contrast.force_inputs is not None and not contrast.force_inputs:
        both = next((row for row in comparing if "contrast_targets" not in row.needs), None)
        if both is not None:
            raise UsageError(f"{both.name} compares two runs, and force_inputs=False makes one; leave it out")


def _names(rows: tuple[StepFunction, ...]) -> str:
    return ", ".join(row.name for row in rows)


def over_span(values: Any, span: str) -> float:
    """Returns one number for the values of a span of tokens. NaNs are left out; NaN if all values are NaN.

    Args:
      values: `Float[M]`, or a list of floats, one for each token. They are combined in float64.
      span: "sum", "product" or "absmax" (the value of the largest magnitude, with its sign).

    Raises:
      UsageError: if `span` is another word.

    Example:
      >>> import numpy as np
      >>> from jaxlm.steps import over_span
      >>> over_span(np.array([0.5, 0.25, np.nan]), "product"), over_span(np.array([1.0, -2.0]), "absmax")
      (0.125, -2.0)
    """
    check_choice("span", span, SPANS)
    values = np.asarray(values, np.float64)
    present = values[~np.isnan(values)]
    if present.size == 0:
        return float("nan")
    if span == "absmax":
        return float(present[np.abs(present).argmax()])
    return float(present.sum() if span == "sum" else present.prod())
