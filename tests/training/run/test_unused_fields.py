"""Which fields an objective reads: those that change its program or its data, and no others."""

import dataclasses
import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import corruption, data, models, tokenizers, training
from jaxlm.training import unused_fields

GOALS = ("masked_lm", "causal_lm", "seq2seq_lm", "classification", "regression")
# Sections that some objectives read whole and others not at all.
READERS = {
    "head": ("classification", "regression"),
    "spans": ("seq2seq_lm",),
    "input_noise": ("masked_lm", "causal_lm", "classification", "regression"),
    "target_noise": ("masked_lm", "causal_lm"),
}


def experiment(goal, **changes):
    """The smallest one of a goal, with noise wherever there may be some."""
    noise = corruption.NoiseConfig(rate=0.0 if goal == "seq2seq_lm" else 0.3)
    made = training.Experiment(
        data=data.DataConfig(paths=("a.jsonl",), row_length=16),
        tokenizer=tokenizers.TokenizerConfig(kind="bytes", sentinels=4),
        model=models.TransformerConfig(
            width=8, depth=2, num_heads=2, max_length=32, causal=goal == "causal_lm"
        ),
        input_noise=noise,
        target_noise=noise,
        objective=goal,
        run=training.RunConfig(steps=4, batch_size=8),
    )
    for section, values in changes.items():
        made = dataclasses.replace(made, **{section: dataclasses.replace(getattr(made, section), **values)})
    return made


@pytest.mark.parametrize("goal", GOALS)
@pytest.mark.parametrize("section", READERS)
def test_a_section_is_read_by_its_objectives(goal, section):
    unread = unused_fields(experiment(goal))
    fields = [field.name for field in dataclasses.fields(getattr(experiment(goal), section))]
    left_out = [field for field in fields if f"{section}.{field}" in unread]
    if goal not in READERS[section]:
        assert left_out == fields
        assert all(f"that is {goal!r}" in unread[f"{section}.{field}"] for field in fields)
    else:
        assert len(left_out) < len(fields)


@pytest.mark.parametrize(
    ("goal", "changes", "field", "why"),
    [
        ("masked_lm", {}, "loss.z_loss", None),
        ("regression", {}, "loss.label_smoothing", "and that is 'regression'"),
        ("classification", {}, "loss.label_smoothing", None),
        ("classification", {}, "loss.z_loss", "objective='masked_lm', 'causal_lm' and 'seq2seq_lm'"),
        ("classification", {}, "model.tie_embeddings", "objective='masked_lm', 'causal_lm'"),
        ("classification", {}, "head.scale", "the labels decide it"),
        ("causal_lm", {}, "data.label_field", "objective='classification' and 'regression'"),
        ("regression", {}, "data.label_field", None),
        ("masked_lm", {"model": {"decoder": models.DecoderConfig()}}, "model.decoder.depth", "seq2seq_lm"),
        ("masked_lm", {"model": {"decoder": models.DecoderConfig()}}, "model.decoder", "seq2seq_lm"),
        ("masked_lm", {}, "model.decoder", "seq2seq_lm"),
        ("seq2seq_lm", {"model": {"decoder": models.DecoderConfig()}}, "model.decoder.depth", None),
        ("seq2seq_lm", {"model": {"decoder": models.DecoderConfig()}}, "model.decoder", None),
        ("regression", {}, "model.head", "objective='masked_lm'"),
        ("regression", {}, "model.head.epsilon", "objective='masked_lm'"),
        ("masked_lm", {"input_noise": {"rate": None}}, "input_noise.mask_share", None),
        ("causal_lm", {"input_noise": {"rate": None}}, "input_noise.mask_share", "input_noise.rate is 0"),
        ("causal_lm", {"input_noise": {"rate": None}}, "input_noise.rate", None),
        ("masked_lm", {"input_noise": {"schedule": "cosine"}}, "input_noise.rate", "draws the share"),
        ("masked_lm", {"input_noise": {"schedule": "cosine"}}, "input_noise.beta_a", None),
        ("masked_lm", {}, "input_noise.beta_a", "schedule='constant'"),
        ("masked_lm", {}, "input_noise.temperature", "substitute_share is 0"),
        ("masked_lm", {}, "data.corpus", "data.paths take the embedded"),
        ("masked_lm", {"data": {"paths": ()}}, "data.field", "there are no data.paths"),
        ("masked_lm", {}, "tokenizer.vocab_size", "no vocabulary is trained"),
        ("masked_lm", {"tokenizer": {"kind": "subwords"}}, "tokenizer.vocab_size", None),
        ("masked_lm", {"model": {"position": "rotary"}}, "model.position.base", None),
        ("masked_lm", {"model": {"position": "rotary"}}, "model.position.window_base", "a model.window"),
        (
            "masked_lm",
            {"optimizer": {"decay": "constant"}},
            "optimizer.final_fraction",
            "leaves the learning rate",
        ),
    ],
)
def test_why_a_field_is_not_read(goal, changes, field, why):
    found = unused_fields(experiment(goal, **changes)).get(field)
    assert found is None if why is None else why in found


# Values that are no neighbours of the default, where those would contradict something.
OTHERS = {
    "num_kv_heads": 1,
    "head_width": 6,
    "mlp_width": 24,
    "window": 3,
    "layer_pattern": "wf",
    "position.share": 0.5,
    "position.scaling.length": 8,
    "position.scaling.slow_turns": 0.1,
    "position.scaling.fast_turns": 1.2,
    "attention_softcap": 2.0,
    "logit_softcap": 2.0,
    "decoder": models.DecoderConfig(depth=1),
    "decoder.depth": 1,
    "decoder.mlp_width": 24,
    "decoder.start_id": 3,
    "position.next_id": 3,
    "mask_id": 3,
    "embedding_dropout": 0.3,
    "vocab_size": 300,
    "num_outputs": None,
    "label_smoothing": 0.2,
}
# What is read when the program is compiled, or by a device that is not here.
ELSEWHERE = ("model.attention_implementation", "model.param_dtype", "model.require_fused", "head.num_outputs")
VARIANTS = {
    "plain": {},
    "much": {
        # Pairs enough for the ramp between those that turn often and those that turn less than once.
        "model": {
            "position": models.Rotary(scaling=models.YarnScaling(factor=2.0)),
            "head_width": 16,
            "window": 4,
            "decoder": models.DecoderConfig(),
        },
        "input_noise": {"schedule": "cosine", "substitute_share": 0.4, "mask_share": 0.4},
    },
}


def another_value(name, hint, value):
    """Another value of a field: of one that holds a record, another record."""
    if name in OTHERS:
        return OTHERS[name]
    kinds = set(typing.get_args(hint)) or {hint}
    records = [kind for kind in typing.get_args(hint) if dataclasses.is_dataclass(kind)]
    if records:
        return next(kind() for kind in records if not isinstance(value, kind))
    if typing.get_origin(hint) is typing.Literal:
        return next(word for word in typing.get_args(hint) if word != value)
    if any(typing.get_origin(kind) is typing.Literal for kind in kinds):
        return "relu"
    if bool in kinds:
        return value is False  # None stands for True, or for what another field says, which is True
    if int in kinds:
        return (value or 1) * 2
    return 0.3 if value in (None, 0.0) else value * 0.7


def places(config, outer=""):
    """The fields of a config and of the records in it: dotted name, type, value."""
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        name, value = outer + field.name, getattr(config, field.name)
        yield name, hints[field.name], value
        if dataclasses.is_dataclass(value):
            yield from places(value, f"{name}.")


def with_value(config, name, value):
    """A config with another value at a dotted name."""
    field, _, inner = name.partition(".")
    value = with_value(getattr(config, field), inner, value) if inner else value
    return dataclasses.replace(config, **{field: value})


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unread")
    text = "to be or not to be, that is the question"
    for name, label in (("regression", "{}.5"), ("classification", '"c{}"')):
        lines = [
            f'{{"text": "{text[number % 20 :][:12]} {number}", "y": {label.format(number % 3)}}}'
            for number in range(80)
        ]
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    return folder


def of_corpus(made, folder):
    goal = made.objective.name
    is_labelled = goal in ("regression", "classification")
    rows = dataclasses.replace(
        made.data,
        paths=(str(folder / f"{goal if is_labelled else 'regression'}.jsonl"),),
        label_field="y" if is_labelled else None,
    )
    return dataclasses.replace(made, data=rows)


def program(made):
    """What a step of an experiment computes: the jaxpr, its constants, and the parameters' shapes."""
    task = training.make_task(made)
    model = models.build(task.config, made.objective.kind, task.head)
    objective = made.objective.bound(training.setting_of(made, task, 8))
    cache, plan = task.splits["train"]
    batch = jax.tree.map(jnp.asarray, next(iter(data.Batches(cache, plan, batch_size=8, seed=0).iterate(0))))

    def drawn(key):
        return model.init(key, jnp.zeros((1, 8), jnp.int32))["params"]

    def loss(params, key):
        return objective(model.apply, params, batch, {"mask": key, "dropout": key})

    first, params = jax.make_jaxpr(drawn, return_shape=True)(jax.random.key(0))
    second = jax.make_jaxpr(loss)(params, jax.random.key(0))
    constants = [np.asarray(one).tobytes() for one in second.consts if one.dtype.kind in "biuf"]
    shapes = str(jax.tree.map(lambda leaf: leaf.shape, params))
    return str(first.jaxpr), str(second.jaxpr), constants, shapes


@pytest.mark.long
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("goal", GOALS)
def test_what_is_read_changes_the_program_and_nothing_else_does(goal, variant, corpora):
    """Every field of model, head, noise, spans and loss, changed alone."""
    changes = {
        name: values for name, values in VARIANTS[variant].items() if goal != "seq2seq_lm" or name == "model"
    }
    base = of_corpus(experiment(goal, **changes), corpora)
    unread, whole = unused_fields(base), program(base)
    wrong = []
    for section in ("model", "head", "spans", "input_noise", "target_noise", "loss"):
        config = getattr(base, section)
        for field, hint, value in places(config):
            name, other = f"{section}.{field}", another_value(field, hint, value)
            try:
                changed = dataclasses.replace(base, **{section: with_value(config, field, other)})
                is_read = program(changed) != whole
            except ValueError:
                continue  # refused with a reason of its own
            if is_read == (name in unread) and name not in ELSEWHERE:
                wrong.append((name, value, other, "changes" if is_read else "changes nothing"))
    assert not wrong
