"""`jaxlm attribute MODEL TEXT`: what moved the model, as a heat map, a page and JSON."""

import json
from collections.abc import Sequence

import jax

from jaxlm import attribution, io, pretrained, steps, tokenizers
from jaxlm.cli._attribute_options import (
    STDOUT,
    AttributeCommand,
    check_attribute_options,
    is_drawing,
    method_settings,
    read_bytes,
    with_json_value,
)
from jaxlm.cli._attribute_texts import texts_and_targets
from jaxlm.cli._failures import say
from jaxlm.cli._inputs import input_lines, warn_of_unknown
from jaxlm.cli._models import model_folder, open_model
from jaxlm.cli._options import parse
from jaxlm.devices import enable_compilation_cache

ATTRIBUTE_PROGRAM = "jaxlm attribute"


def run(arguments: Sequence[str]) -> int:
    """Runs the command and returns its exit code.

    Args:
      arguments: what follows the command.

    Raises:
      UsageError: if the request cannot be met.
    """
    options = parse(AttributeCommand, with_json_value(arguments), program=ATTRIBUTE_PROGRAM)
    functions = [steps.parse_step_function(name) for name in (options.step, *options.step_scores)]
    check_attribute_options(options, functions)
    results = _explain(options, functions)
    _write(options, [result._replace(model=options.model) for result in results])
    return 0


def _explain(
    options: AttributeCommand, functions: Sequence[steps.StepFunction]
) -> list[attribution.Attribution]:
    memory = None if options.memory is None else read_bytes(options.memory)
    settings = method_settings(options.method, options.settings)
    texts = input_lines(options.text, 'jaxlm attribute MODEL "The keys to the cabinet" --target " are"')
    enable_compilation_cache()
    loaded = open_model(options.model, dtype=options.dtype)
    warn_of_unknown(ATTRIBUTE_PROGRAM, loaded, texts)
    target_tokenizer = _target_tokenizer(options.model, loaded)
    asked = texts_and_targets(
        loaded,
        texts,
        options.target,
        options.contrast,
        max_new_tokens=options.max_new_tokens,
        target_tokenizer=target_tokenizer,
    )
    contrast = None
    if asked.contrast is not None:
        contrast = steps.Contrast(targets=asked.contrast, alignment=options.alignment)
    is_named = options.baseline is None or options.baseline in attribution.BASELINES
    results = attribution.attribute(
        loaded,
        asked.texts,
        targets=asked.targets,
        contrast=contrast,
        method=options.method,
        step=functions[0],
        settings=settings,
        step_scores=functions[1:],
        baseline=options.baseline if is_named else [options.baseline] * len(texts),
        reduce=options.reduce,
        memory=memory,
        rng=jax.random.key(options.seed or 0) if is_drawing(options, functions) else None,
        granular=options.granular,
        target_tokenizer=target_tokenizer,
    )
    if options.words:
        results = [
            attribution.merge_words(result, tokenizer=loaded.tokenizer, target_tokenizer=target_tokenizer)
            for result in results
        ]
    return [attribution.normalize_scores(result) for result in results] if options.normalize else results


def _target_tokenizer(name: str, loaded: pretrained.Loaded) -> tokenizers.Tokenizer | None:
    """The tokenizer of an encoder-decoder's targets, which a Marian folder has beside that of the texts."""
    if not loaded.kind.encoder:
        return None
    return tokenizers.load_tokenizer(model_folder(name), side="target")


def _write(options: AttributeCommand, results: Sequence[attribution.Attribution]) -> None:
    if options.json == STDOUT:
        for result in results:
            print(json.dumps(attribution.attribution_as_json(result), ensure_ascii=False))
    else:
        for number, result in enumerate(results):
            if number:
                print()
            result.show()
    if options.json not in (None, STDOUT):
        attribution.save_attributions(options.json, results)
        say(ATTRIBUTE_PROGRAM, f"wrote {options.json}")
    if options.html is not None:
        io.write_text(options.html, attribution.html_page(results))
        say(ATTRIBUTE_PROGRAM, f"wrote {options.html}")
