"""Step functions of many texts: one forward of the model for all positions of a text."""

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
from jaxlm.steps._layout import EncodedPair, StepBatch, fill_rows, plan_rows
from jaxlm.steps._spans import over_span
from jaxlm.steps._table import StepFunction, resolve_step_functions

# Positions of a batch on a CPU and elsewhere, for models up to this width.
CPU_POSITIONS, POSITIONS, WIDTH = 1024, 65_536, 1024
# Batches that the devices are given before the first one's numbers are fetched.
AT_ONCE = 4


class TextScores(NamedTuple):
    """The numbers of one text.

    Attributes:
      tokens: `Int32[M]` ids that are predicted; of a masked model without targets its masks.
      strings: what a person reads for each.
      offsets: `Int32[M]` where they stand in the ids of the text; of an encoder-decoder of its target.
      contrast_tokens: `Int32[M]` ids that they are compared with, -1 where there is none; None without a
        contrast.
      values: by the function's name, `Float32[M]`; NaN where a function compares and nothing is compared.
      spans: by the function's name, one number for all the tokens, as `StepFunction.span` says; tokens whose
        value is NaN are left out.
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

    A text takes one forward of the model, two with a contrast and `n_mcd_steps` more under dropout, whatever
    its length and however many functions are asked for. Texts are packed into rows of few lengths; neither
    the batch nor the padding changes a number beyond rounding. Draws under dropout depend on the key and on
    the ids that are read, and on nothing else.

    What is predicted:

    - A causal model: every token that has one before it. A text is opened as `jaxlm score` opens it. With
      targets the texts are prompts, opened as for generation; a target is a whole text that begins with its
      prompt, and its tokens from the first one on are predicted that is not the prompt's.
    - A masked model: what stands at the masks of a text; targets are the texts without masks.
    - An encoder-decoder: targets from their sources, the token that closes them too.

    To ids nothing is added.

    Args:
      loaded: a causal LM, a masked LM or an encoder-decoder, as `pretrained.load` returns it.
      texts: a text, several, rows of ids, or ids `[B, L]`.
      functions: a name of `STEP_FUNCTIONS`, what `step_function` returns, a callable, or several of them.
      targets: as many as texts. A masked model needs them for functions that read the target.
      contrast: what functions that compare read besides: a `Contrast`; or texts, other targets where targets
        are given and otherwise other texts.
      attention_mask: `Bool[B L]`, True = real, for ids in an array: of `targets`, else of `texts`.
      text_attention_mask: the same of `texts` beside `targets`, as of an encoder's padded sources.
      rng: PRNG key for dropout and for functions that draw.
      n_mcd_steps: K, how often a run is repeated under dropout.
      aux_model: the model that is run under dropout, of the same kind and vocabulary; None: the model itself.
      target_tokenizer: what divides an encoder-decoder's targets, where another file does, as of Marian
        (`tokenizers.load(folder, side="target")`); None: the model's own.
      devices: local devices; None: all of them, of which a single batch takes one.

    Returns:
      One `TextScores` a text, in order.

    Raises:
      UsageError: if a name is unknown (the nearest one is named), something that a function needs is missing
        or something is given that none reads, targets or contrasts do not belong to the texts, or a text
        is too long, empty, or without a mask. The text is named by its number.
      TypeError: if `loaded` or `aux_model` is no opened model, or a text neither a string nor a row of ids.

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
    units = encode_pairs(reader, texts, targets, (attention_mask, text_attention_mask), compared)
    program = StepProgram(
        loaded.model,
        rows,
        None if noisy is None else noisy.model,
        0 if noisy is None else n_mcd_steps,
        layout,
    )
    check_dropout_model(noisy, loaded, units)
    params = (loaded.params, None if noisy is None else noisy.params)
    values = np.full((len(rows), sum(len(unit.run.places) for unit in units)), np.nan, np.float32)
    starts = np.cumsum([0, *(len(unit.run.places) for unit in units)])
    for index, numbers in _computed(program, params, rng, units):
        values[:, starts[index] : starts[index + 1]] = numbers
    return [
        _scores(reader, rows, unit, values[:, start:stop], compared)
        for unit, start, stop in zip(units, starts[:-1], starts[1:], strict=True)
    ]


def _computed(
    program: StepProgram, params: tuple[Any, Any], rng: jax.Array | None, units: list[EncodedPair]
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields the index of each unit and its numbers, `Float32[functions M]`."""
    if not units:
        return
    config, layout = program.model.config, program.layout
    most = CPU_POSITIONS if layout.target.platform == "cpu" else POSITIONS
    plans = plan_rows(
        units,
        positions=most * WIDTH // max(config.width, WIDTH),
        longest=min(models.longest_text(model.config) for model in program.models),
        draws=program.noisy_model is not None,
        num_devices=len(layout.devices),
    )
    batches = [fill_rows(units, plan) for plan in plans]
    if len(batches) == 1:  # other devices would be given parameters, and nothing to do
        layout = Layout(layout.devices[:1])
    step = compile_step(program._replace(layout=layout))
    placed = layout.replicate(params)
    flying: deque[tuple[list, tuple[jax.Array, ...]]] = deque()
    for together in _together(batches, len(layout.devices)):
        answers = [answer for _, answer in together]
        flying.append((answers, step(*placed, rng, stack_step_batches([batch for batch, _ in together]))))
        if len(flying) == AT_ONCE:
            yield from _landed(*flying.popleft())
    while flying:
        yield from _landed(*flying.popleft())


def _together(
    batches: list[tuple[StepBatch, list]], num_devices: int
) -> Iterator[list[tuple[StepBatch, list[tuple[int, slice]]]]]:
    """Yields as many batches of one shape as there are devices; those that lack are empty."""
    by_shape: dict[Any, list] = {}
    for batch, answers in batches:
        shape = tuple(leaf.shape for leaf in jax.tree.leaves(batch))
        by_shape.setdefault(shape, []).append((batch, answers))
    for alike in by_shape.values():
        empty = (jax.tree.map(np.zeros_like, alike[0][0]), [])
        for start in range(0, len(alike), num_devices):
            chunk = alike[start : start + num_devices]
            yield chunk + [empty] * (num_devices - len(chunk))


def _landed(
    answers: list[list[tuple[int, slice]]], values: tuple[jax.Array, ...]
) -> Iterator[tuple[int, np.ndarray]]:
    arrays = np.stack([np.asarray(one) for one in values])
    for device, own in enumerate(answers):
        for index, span in own:
            yield index, arrays[:, device, span]


def _scores(
    reader: TextReader,
    rows: tuple[StepFunction, ...],
    unit: EncodedPair,
    values: np.ndarray,
    contrast: Contrast | None,
) -> TextScores:
    run, partners = unit.run, unit.partners
    named, others = {}, None
    if contrast is not None:
        others = np.where(partners < 0, -1, unit.contrast.targets[np.maximum(partners, 0)]).astype(np.int32)
    for row, numbers in zip(rows, values, strict=True):
        is_missing = row.needs_contrast and partners < 0
        named[row.name] = np.where(is_missing, np.float32(np.nan), numbers)
    spans = {row.name: over_span(named[row.name], row.span) for row in rows}
    return TextScores(run.targets, reader.strings(run.targets), run.offsets, others, named, spans)


def _check_asked(
    rows: tuple[StepFunction, ...], kind: str, targets: Any, contrast: Contrast | None, rng: Any
) -> None:
    """Refuses what a function needs and lacks, and what is given and nothing reads."""
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
    if contrast is not None and not contrast.force_inputs:
        both = next((row for row in comparing if "contrast_targets" not in row.needs), None)
        if both is not None:
            raise UsageError(f"{both.name} compares two runs, and force_inputs=False makes one; leave it out")


def _names(rows: tuple[StepFunction, ...]) -> str:
    return ", ".join(row.name for row in rows)
