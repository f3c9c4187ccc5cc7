"""Attributions of texts: what moved each prediction of a model.

Letters: `T` tokens of a text's row, `S` tokens that an encoder reads, `N` explained predictions, `D` width.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm import models, pretrained, steps, tokenizers
from jaxlm.attribution._baselines import read_baselines
from jaxlm.attribution._batches import ExplainedText
from jaxlm.attribution._completeness import largest_error, warn_of_misses
from jaxlm.attribution._engine import AttributionJob, run_attribution
from jaxlm.attribution._predictions import InputScores
from jaxlm.attribution._records import make_attribution, weights_name
from jaxlm.attribution._request import (
    DEFAULT_STEP,
    AttributionRequest,
    attribution_request,
    check_dropout,
    check_key,
)
from jaxlm.attribution.results import Attribution
from jaxlm.devices import local_layout
from jaxlm.errors import UsageError


def attribute(
    loaded: pretrained.Loaded,
    texts: Any,
    *,
    targets: Any = None,
    method: Any = "integrated_gradients",
    step: Any = DEFAULT_STEP,
    settings: Any = None,
    contrast: Any = None,
    step_scores: Any = (),
    baseline: Any = None,
    reduce: str | None = None,
    memory: int | None = None,
    rng: jax.Array | None = None,
    granular: bool = False,
    target_tokenizer: tokenizers.Tokenizer | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> list[Attribution]:
    """Returns how much each token of each text moved each of the model's predictions.

    A prediction is explained as one number, the step function: by default the probability of the target. All
    predictions of a text are computed together: one forward pass serves them all, whatever the method repeats
    it for. Texts are put into rows of few lengths; batch, padding and devices change the scores by rounding
    only. Texts, targets and contrasts mean the same as in `steps.step_scores`:

    - A causal model: every token that has a token before it is explained; with targets, which are whole texts
      that begin with their prompts, the tokens after the prompts.
    - A masked model: the tokens at the masks. Targets are the texts without masks; without targets the
      likeliest token at each mask is explained.
    - An encoder-decoder: the tokens of the targets, by the tokens of both sides.

    Args:
      loaded: a causal LM, a masked LM or an encoder-decoder, as `pretrained.load` returns it.
      texts: a text, several texts, rows of ids, or one array of ids `[B, L]`.
      targets: one target for each text, in the form that is described above; None: there are none.
      method: a name of `METHODS`, or a `Method`.
      step: the explained step function: a name of `steps.STEP_FUNCTIONS`, a result of `steps.step_function`,
        or a callable that takes a `steps.StepInputs`. A comparing function reads the target of the contrast
        from the run on the text itself, so that the prediction is explained against the other target. It
        reads a run on the contrast's own tokens, which the text does not change, if the `Contrast` forces its
        inputs, or if there is no other way: for `kl_divergence`, or for another prompt of the same targets.
        Attention, its rollout and value zeroing explain none.
      settings: a record of the method's settings, such as `IntegratedGradients(steps=20)`; None: the
        defaults.
      contrast: what comparing functions compare the texts with: a `steps.Contrast`, or texts, which stand for
        other targets if `targets` is given, and for other texts otherwise.
      step_scores: step functions whose numbers are put beside the scores, as `steps.step_scores` computes
        them.
      baseline: what replaces the input, for a method with a baseline: "zero" (vectors of zeros), "pad",
        "mask", "unk" (this token everywhere), "mean" (the mean of all token embeddings), a text for each text
        of as many tokens, rows of ids, or vectors `Float[D]` or `Float[L D]`. For an encoder-decoder a name
        is of both sides, and anything else of the texts alone, whose targets then have "zero"; a `Baseline`
        has both. None: "zero".
      reduce: "sum" explains the predictions of a text as one, the sum of the step function over them, for the
        price of one. None: each by itself.
      memory: the most bytes that a device may use for temporary values and results, beside the parameters.
        Less memory takes more time. None: as much as is fast.
      rng: a PRNG key, for methods and functions that draw; a text's draws depend on the key and its ids.
      granular: whether the scores have one number for each dimension of the vectors.
      target_tokenizer: the tokenizer of an encoder-decoder's targets, if it differs from that of the texts.
      devices: the local devices that are used; None: all, as far as there are texts for them.

    Returns:
      An `Attribution` for each text, in order.

    Raises:
      UsageError: if a name is unknown, an argument that is needed is missing, an argument is given that
        nothing reads, a text, target, contrast or baseline does not fit, or `memory` is too small for one
        position; the message is one line.
      TypeError: if `loaded` is not a `pretrained.Loaded`, or a text is neither a string nor a row of ids.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models, pretrained, tokenizers
      >>> from jaxlm.attribution import attribute
      >>> config = models.TransformerConfig(vocab_size=260, width=8, depth=1, num_heads=2, causal=True)
      >>> model, tokenizer = models.build(config, "causal_lm"), tokenizers.bytes_tokenizer()
      >>> params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
      >>> loaded = pretrained.Loaded(config, "causal_lm", model, params, tokenizer, {})
      >>> (result,) = attribute(loaded, "To", targets="To be", step="logit")
      >>> result.scores.shape, result.target_tokens, bool((result.completeness_error < 1e-4).all())
      ((5, 3), (' ', 'b', 'e'), True)
    """
    reader = steps.TextReader(loaded, target_tokenizer)
    request = attribution_request(
        reader.kind,
        method=method,
        settings=settings,
        step=step,
        step_scores=step_scores,
        contrast=contrast,
        has_targets=targets is not None,
        baseline=baseline,
        reduce=reduce,
        granular=granular,
    )
    rng = steps.as_key(rng)
    check_key(request, rng)
    check_dropout(loaded, request.step)
    _check_memory(memory)
    if reader.kind == "masked" and targets is None:
        targets = _likeliest(loaded, reader, texts, devices)
    items = _encode(reader, loaded, request, texts, targets)
    job = AttributionJob(
        loaded,
        request.method,
        request.settings,
        request.step,
        request.is_span,
        request.is_granular,
        memory,
        rng if request.draws else None,
        local_layout(devices),
        models.longest_text(loaded.config),
    )
    beside = _beside(loaded, request, texts, targets, rng, target_tokenizer, devices)
    scores, used = _scores(job, items)
    name = weights_name(loaded.params) if items else ""
    return [
        make_attribution(
            reader,
            request,
            item,
            scores[item.number],
            beside[item.number] if beside else {},
            used.get(item.number),
            name,
        )
        for item in items
    ]


def _encode(
    reader: steps.TextReader, loaded: pretrained.Loaded, request: AttributionRequest, texts: Any, targets: Any
) -> list[ExplainedText]:
    contrast, is_forced = request.contrast, request.forces_inputs
    if request.step is None or not request.step.needs_contrast:
        contrast = None
    if contrast is not None:
        contrast = contrast._replace(force_inputs=is_forced)
    pairs = steps.encode_pairs(reader, texts, targets, (None, None), contrast)
    baselines: Sequence[Any] = [None] * len(pairs)
    if request.baseline is not None:
        rows = [pair.text for pair in pairs]
        baselines = read_baselines(reader, loaded, request.baseline, rows, is_prompted=targets is not None)
    return [
        ExplainedText(number, pair, baseline, is_forced)
        for number, (pair, baseline) in enumerate(zip(pairs, baselines, strict=True))
    ]


def _scores(job: AttributionJob, items: list[ExplainedText]) -> tuple[dict[int, InputScores], dict[int, int]]:
    """The scores of each text, and how many steps a path had; more of them where a tolerance is missed."""
    tolerance = getattr(job.settings, "tolerance", None)
    scores = {item.number: result for item, result in run_attribution(job, items)}
    if job.method.path is None:
        return scores, {}
    num = job.settings.steps
    used = {item.number: num for item in items}
    while tolerance is not None and 2 * num <= job.settings.max_steps:
        open_items = [item for item in items if largest_error(scores[item.number]) > tolerance]
        if not open_items:
            break
        num *= 2
        for item, result in run_attribution(job, open_items, num):
            scores[item.number], used[item.number] = result, num
    if tolerance is not None:
        warn_of_misses(scores, tolerance, num)
    return scores, used


def _beside(
    loaded: pretrained.Loaded,
    request: AttributionRequest,
    texts: Any,
    targets: Any,
    rng: Any,
    target_tokenizer: Any,
    devices: Any,
) -> list[dict[str, np.ndarray]]:
    """The numbers of the step functions that are put beside the scores, of each text."""
    functions = request.score_functions
    if not functions:
        return []
    compares = any(function.needs_contrast for function in functions)
    draws = any(function.needs & {"rng", "noisy_logits"} for function in functions)
    found = steps.step_scores(
        loaded,
        texts,
        list(functions),
        targets=targets,
        contrast=request.contrast if compares else None,
        rng=rng if draws else None,
        target_tokenizer=target_tokenizer,
        devices=devices,
    )
    return [scores.values for scores in found]


def _argmax(inputs: steps.StepInputs) -> jax.Array:
    # Ids are below 2^24, so that float32 holds them exactly.
    return inputs.logits.argmax(-1).astype(jnp.float32)


def _likeliest(
    loaded: pretrained.Loaded, reader: steps.TextReader, texts: Any, devices: Any
) -> list[np.ndarray]:
    """The texts of a masked model as ids, with the likeliest token at each mask."""
    likeliest = steps.StepFunction("likeliest", _argmax, frozenset(), is_differentiable=False)
    found = steps.step_scores(loaded, texts, likeliest, devices=devices)
    pairs = steps.encode_pairs(reader, texts, None, (None, None), None)
    filled = []
    for pair, scores in zip(pairs, found, strict=True):
        ids = pair.text.tokens.copy()
        ids[pair.text.positions] = scores.values["likeliest"].astype(np.int32)
        filled.append(ids)
    return filled


def _check_memory(memory: Any) -> None:
    is_number = isinstance(memory, (int, np.integer)) and not isinstance(memory, bool)
    if memory is not None and (not is_number or memory < 1):
        raise UsageError(f"memory is a number of bytes, 1 at least: got {memory!r}")
