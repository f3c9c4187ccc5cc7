"""The options of `jaxlm attribute`: their values, and what is wrong with them before a model is opened."""

import dataclasses
import enum
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

from jaxlm import attribution, io, steps
from jaxlm.cli._failures import UsageError
from jaxlm.cli._models import DType
from jaxlm.cli._values import as_literal

STDOUT = "-"
BYTES_OF_UNITS = {
    "": 1,
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttributeCommand:
    """Show how much each token moved each prediction: a heat map, on request also a page and JSON.

    Example: jaxlm attribute ./gpt2 "The keys to the cabinet" --target " are" --html map.html

    A causal model and an encoder-decoder write a text first if there is no --target; a masked model's
    likeliest tokens at the masks are explained.

    Attributes:
      model: a run folder that jaxlm train wrote, or a Hugging Face folder or name
      text: one text or several; - reads one a line from stdin
      target: what is explained: for a causal model the text that follows TEXT, or the whole text; for an
        encoder-decoder what it writes; for a masked model the text without masks
      contrast: another target, for a step that compares, such as contrast_prob_diff
      alignment: which tokens are compared: one_to_one for a contrast of as many, last_common for one of any
        length, whose common beginning and end are compared
      method: how scores are computed, such as saliency, input_x_gradient, occlusion
      settings: of the method, as name=value: steps=100 rule=left
      step: the step function that is explained, such as logit, or crossentropy(base=bits)
      step_scores: step functions that are shown beside the scores, such as entropy top_p_size=0.9
      baseline: what replaces the tokens: zero, pad, mask, unk, mean, or a text of as many tokens
      reduce: sum explains all predictions of a text as one, at the price of one
      memory: the most that a device may use beside the parameters, such as 2GiB
      granular: one number for each dimension of a token's vector, in the JSON; the maps show lengths
      words: one row and one column for each word in place of each token
      normalize: divide the scores of a prediction by the sum of their magnitudes
      max_new_tokens: the most tokens to write if there is no --target
      seed: of the draws, for a method or a step that draws; None: 0
      html: write a page of the heat maps to this path
      json: print one JSON object a line, one for each text; with a path behind it, OUT.json or OUT.json.gz,
        write one file that attribution.open_attributions opens
      dtype: type of the parameters and of the computation; None: the run's, and float32 for a Hugging Face
        folder
    """

    model: Annotated[Positional[str], arg(metavar="MODEL")]
    text: Annotated[Positional[tuple[str, ...]], arg(metavar="TEXT")] = ()
    target: str | None = None
    contrast: str | None = None
    alignment: Literal["one_to_one", "last_common"] = "one_to_one"
    method: str = "integrated_gradients"
    settings: tuple[str, ...] = ()
    step: str = "probability"
    step_scores: tuple[str, ...] = ()
    baseline: str | None = None
    reduce: Literal["sum"] | None = None
    memory: str | None = None
    granular: FlagCreatePairsOff[bool] = False
    words: FlagCreatePairsOff[bool] = False
    normalize: FlagCreatePairsOff[bool] = False
    max_new_tokens: Annotated[int, arg(aliases=["-n"])] = 16
    seed: int | None = None
    html: str | None = None
    json: str | None = None
    dtype: DType | None = None


def with_json_value(arguments: Sequence[str]) -> list[str]:
    """Returns the arguments with a value for `--json`: a path that follows it, else "-" for stdout.

    Only a path that ends in ".json" or ".json.gz" is taken, so that a text may follow `--json`.

    Args:
      arguments: of the command.

    Example:
      >>> from jaxlm.cli._attribute_options import with_json_value
      >>> with_json_value(["m", "--json", "a text"]), with_json_value(["--json", "a.json.gz"])
      (['m', '--json=-', 'a text'], ['--json=a.json.gz'])
    """
    given = list(arguments)
    end = given.index("--") if "--" in given else len(given)
    if "--json" not in given[:end]:
        return given
    index = given.index("--json")
    has_path = index + 1 < end and given[index + 1].endswith((".json", ".json.gz"))
    value = given[index + 1] if has_path else STDOUT
    return [*given[:index], f"--json={value}", *given[index + 1 + has_path :]]


def read_bytes(text: str) -> int:
    """Returns a number of bytes from text: 2GiB, 500MB, or a whole number.

    Args:
      text: a number, and a unit of 1000 (kB, MB, GB) or of 1024 (KiB, MiB, GiB).

    Raises:
      UsageError: if the text is no number of bytes.

    Example:
      >>> from jaxlm.cli._attribute_options import read_bytes
      >>> read_bytes("2GiB"), read_bytes("1.5 kB"), read_bytes("64")
      (2147483648, 1500, 64)
    """
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)", text.strip())
    unit = match[2].upper() if match else ""
    if match is None or unit not in BYTES_OF_UNITS:
        raise UsageError(f"--memory is a number of bytes such as 2GiB, 500MB or 1000000: got {text!r}")
    return int(float(match[1]) * BYTES_OF_UNITS[unit])


def method_settings(method: str, pairs: Sequence[str]) -> Any:
    """Returns the settings of a method from `name=value` pairs; None if there are none.

    Args:
      method: the name of the method.
      pairs: the texts of the pairs.

    Raises:
      UsageError: if a pair is none, or the method has no such setting.
      ConfigError: if a value is of another type.

    Example:
      >>> from jaxlm.cli._attribute_options import method_settings
      >>> method_settings("integrated_gradients", ["steps=10", "rule=left"]).rule
      'left'
    """
    if not pairs or method not in attribution.METHODS:  # the door names the methods
        return None
    parts = [pair.partition("=") for pair in pairs]
    wrong = next((pair for pair, (_, equals, _) in zip(pairs, parts, strict=True) if not equals), None)
    if wrong is not None:
        raise UsageError(f"--settings are name=value, such as steps=100: got {wrong!r}")
    kind = attribution.METHODS[method].settings
    values = {name.strip().replace("-", "_"): value.strip() for name, _, value in parts}
    fields = {field.name: field.default for field in dataclasses.fields(kind)}
    read = {name: _setting(name, value, fields.get(name)) for name, value in values.items()}
    return io.record_from_dict(kind, read, title=f"the settings of {method}")


def check_attribute_options(options: AttributeCommand, functions: Sequence[steps.StepFunction]) -> None:
    """Checks what needs no model, before it is opened.

    Args:
      options: of the command.
      functions: the explained step function and those beside it.

    Raises:
      UsageError: if an option is out of its range, is missing, or has no effect.
    """
    if options.max_new_tokens < 1:
        raise UsageError(f"--max-new-tokens is at least 1, got {options.max_new_tokens}")
    names = ", ".join(function.name for function in functions)
    comparing = [function.name for function in functions if function.needs_contrast]
    if comparing and options.contrast is None:
        raise UsageError(f"{comparing[0]} compares two targets: add --contrast, the other one")
    if options.contrast is not None and not comparing:
        raise UsageError(
            f"--contrast is compared, and none of {names} compares; add --step contrast_prob_diff"
        )
    if options.alignment != "one_to_one" and options.contrast is None:
        raise UsageError(f"--alignment is that of a --contrast, and there is none: got {options.alignment}")
    if not 0 <= (options.seed or 0) < 2**32:
        raise UsageError(f"--seed is from 0 and below 2**32: got {options.seed}")
    if options.seed is not None and not is_drawing(options, functions):
        raise UsageError(f"--seed is for draws, and neither {options.method} nor {names} draws; leave it out")
    if options.granular and options.normalize:
        raise UsageError("--normalize is for one number a token, and --granular gives more; leave one out")
    for name, path in (("--html", options.html), ("--json", options.json)):
        if path is not None and path != STDOUT and not Path(path).absolute().parent.is_dir():
            raise UsageError(
                f"{name} is a path in a folder that is there: got {path!r}; make the folder first"
            )


def is_drawing(options: AttributeCommand, functions: Sequence[steps.StepFunction]) -> bool:
    """Returns whether the method or a step function draws random numbers.

    Args:
      options: of the command.
      functions: the explained step function and those beside it.
    """
    method = attribution.METHODS.get(options.method)
    is_noisy = method is not None and "rng" in method.needs
    return is_noisy or any(function.needs & {"rng", "noisy_logits"} for function in functions)


def _setting(name: str, value: str, default: Any) -> Any:
    """The value of a setting: several behind commas, and a site by its name."""
    if isinstance(default, enum.Enum):
        try:
            return type(default)(value)
        except ValueError:
            known = ", ".join(str(one.value) for one in type(default))
            raise UsageError(f"{name} is one of {known}: got {value!r}") from None
    return [as_literal(part) for part in value.split(",")] if "," in value else as_literal(value)
