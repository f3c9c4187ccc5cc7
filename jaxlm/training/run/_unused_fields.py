"""Fields of an experiment that have no effect in it, each with the reason."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from jaxlm import io
from jaxlm.corruption import NoiseConfig
from jaxlm.training.objectives import OBJECTIVES, Objective
from jaxlm.training.run._experiment import Experiment

# Fields of the model that only a language model's head uses.
OUTPUT_FIELDS = (
    "tie_embeddings",
    "head",
    "head.",
    "head_bias",
    "output_scale",
    "logit_softcap",
)


class _Rule(NamedTuple):
    """Fields that have an effect only under a condition; a name that ends with a dot is a whole section."""

    fields: tuple[str, ...]
    is_read: Callable[[Experiment], bool]
    why: str


def unused_fields(experiment: Experiment) -> dict[str, str]:
    """Returns the fields that have no effect on what an experiment computes, each with the reason.

    Returns:
      Reasons by dotted name, such as "head.pooling".

    Example:
      >>> from jaxlm.training import Experiment, unused_fields
      >>> unread = unused_fields(Experiment())
      >>> unread["spans.rate"]
      "it is of objective='seq2seq_lm', and that is 'masked_lm'"
      >>> "input_noise.mask_share" in unread, "input_noise.temperature" in unread
      (False, True)
    """
    flat = io.flat_fields(experiment.to_dict())
    # "model.position.kind" is the value of "model.position" itself; "tokenizer.kind" is a field of its own.
    names = [name.removesuffix(".kind") if name.count(".") > 1 else name for name in flat]
    unread: dict[str, str] = {}
    for rule in _rules(experiment):
        if not rule.is_read(experiment):
            covered = [name for name in names if name.startswith(_sections(rule)) or name in rule.fields]
            unread = dict.fromkeys(covered, rule.why) | unread
    return unread


def _sections(rule: _Rule) -> tuple[str, ...]:
    return tuple(field for field in rule.fields if field.endswith("."))


def _rules(experiment: Experiment) -> Iterator[_Rule]:
    """Yields the rules in order: where several exclude a field, the first gives the reason."""
    yield from _of_objectives(f"and that is {experiment.resolved_objective.name!r}")
    yield from _of_data()
    yield from _of_models()
    for name in ("input_noise", "target_noise"):
        yield from _of_noise(name, getattr(experiment, f"resolved_{name}"))
    yield _Rule(
        ("optimizer.final_fraction",),
        lambda one: one.optimizer.decay != "constant",
        "optimizer.decay='constant' leaves the learning rate where it is",
    )


def _of_objectives(but: str) -> Iterator[_Rule]:
    def of(fields: tuple[str, ...], is_read: Callable[[Objective], bool], more: str = "") -> _Rule:
        """Returns the rule of fields that only some objectives use; the reason names ours that do."""
        names = [repr(name) for name, one in OBJECTIVES.items() if is_read(one)]
        listed = " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)
        why = f"it is of objective={listed}, {but}{more}"
        return _Rule(fields, lambda one: is_read(one.resolved_objective), why)

    def by_noise(one: Objective) -> bool:
        return "input_noise" in one.reads

    yield of(("head.",), lambda one: one.kind.sequence_outputs)
    yield _Rule(("head.center", "head.scale"), lambda one: False, "the labels decide it")
    yield of(("spans.",), lambda one: "spans" in one.reads)
    yield of(("input_noise.",), by_noise, "; see spans.rate")
    yield of(("target_noise.",), lambda one: "target_noise" in one.reads)
    yield of(("loss.z_loss",), lambda one: "z_loss" in one.reads)
    yield of(("loss.label_smoothing",), lambda one: "label_smoothing" in one.reads)
    labels = ("data.label_pattern", "data.label_field", "data.label_kind")
    yield of(labels, lambda one: one.labels is not None)
    yield of(tuple(f"model.{name}" for name in OUTPUT_FIELDS), lambda one: one.kind.head == "tokens")
    decoder = ("model.decoder", "model.decoder.")
    yield of(decoder, lambda one: one.kind.encoder)


def _of_data() -> Iterator[_Rule]:
    def trains(one: Experiment) -> bool:
        return one.tokenizer.path is None and one.tokenizer.kind not in ("bytes", "residues")

    yield _Rule(
        ("data.corpus",), lambda one: not one.data.paths, "data.paths take the embedded corpus's place"
    )
    of_files = ("data.document", "data.field")
    yield _Rule(of_files, lambda one: bool(one.data.paths), "it is of files, and there are no data.paths")
    yield _Rule(
        ("data.field",),
        lambda one: one.data.format not in ("text", "fasta", "traces"),
        "data.format is one without fields",
    )
    yield _Rule(
        ("data.document",),
        lambda one: one.data.format in (None, "text"),
        "data.format is one with documents of its own",
    )
    yield _Rule(
        ("data.similarity",), lambda one: one.data.split == "similarity", "it is of data.split='similarity'"
    )
    yield _Rule(
        ("tokenizer.vocab_size",), trains, "no vocabulary is trained: tokenizer.path or kind brings one"
    )
    yield _Rule(
        ("tokenizer.rows",),
        lambda one: one.tokenizer.path is not None,
        "it is of a tokenizer.path, and there is none",
    )


def _of_models() -> Iterator[_Rule]:
    windows = ("model.layer_pattern", "model.position.window_base")
    yield _Rule(
        windows, lambda one: one.model.window is not None, "it is of a model.window, and there is none"
    )
    yield _Rule(("model.norm_bias",), lambda one: one.model.norm == "layer", "an RMSNorm has no bias")
    yield _Rule(("model.mask_id",), lambda one: one.model.token_dropout, "it is of model.token_dropout")


def _of_noise(name: str, noise: NoiseConfig) -> Iterator[_Rule]:
    """Yields the rules of one of the two noises, whose rate is known."""

    def rule(holds: bool, why: str, *fields: str) -> _Rule:
        return _Rule(tuple(f"{name}.{field}" for field in fields), lambda one: holds, why)

    is_drawn = noise.schedule != "constant"
    yield rule(not is_drawn, f"{name}.schedule={noise.schedule!r} draws the share of each example", "rate")
    constant = f"{name}.schedule='constant' draws no timesteps"
    yield rule(is_drawn, constant, "time", "timesteps", "beta_a", "beta_b")
    yield rule(noise.timesteps == "beta", f"it is of {name}.timesteps='beta'", "beta_a", "beta_b")
    shares = ("mask_share", "random_share", "substitute_share", "keep_share")
    substitution = ("substitution", "temperature", "keep_diagonal", "background")
    none = f"{name}.rate is 0: nothing is corrupted; raise it too"
    yield rule(is_drawn or bool(noise.rate), none, "count", "unit", *shares, *substitution)
    yield rule(noise.substitute_share > 0, f"{name}.substitute_share is 0; raise it too", *substitution)
    is_blosum = noise.substitution == "blosum62"
    yield rule(is_blosum, f"it is of {name}.substitution='blosum62'", *substitution[1:])
