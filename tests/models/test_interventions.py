"""Changes of sites: by their own values, another text's, zeros; one by one, mapped, differentiated."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import errors, models
from jaxlm.models import _interventions
from tests.models.test_sites import INPUTS, OF_ENCODER, OWN, TOKENS, TOLERANCE, shown, two_sided

Site, Intervention = models.Site, models.Intervention
OTHER = models.Inputs(tokens=TOKENS[:, ::-1] % 7 + 1, segments=INPUTS.segments)
SCHEMES = {
    "causal": {"causal": True, "position": "rotary"},
    "scanned": {"causal": True, "position": "rotary", "scan_layers": True, "remat": True},
    "mixed": {"shared": "mixed", "scan_layers": True},
    "parallel": {"shared": "parallel"},
    "post": {"norm_placement": "post", "embedding_norm": True},
}


@functools.cache
def jitted(model):
    return jax.jit(model.apply, static_argnames=("intermediates", "method"))


@pytest.mark.parametrize("name", SCHEMES)
def test_its_own_value_changes_nothing_and_another_does(small, name):
    """Of all sites at once and of each alone, mapped: which layer and whether at all are traced."""
    case = small(**SCHEMES[name])
    clean = shown(case)

    def run(scale, flags):
        changes = []
        for number, site in enumerate(OWN):
            layer = jnp.int32(0 if site == Site.EMBEDDINGS else 1)
            own = clean.intermediates[site][layer]
            noise = scale * jax.random.normal(jax.random.key(number), own.shape)
            changes.append(Intervention(site=site, layer=layer, mask=flags[number], value=own + noise))
        return case.model.apply(case.variables, INPUTS, interventions=changes).hidden

    flags = jnp.concatenate([jnp.ones((1, len(OWN)), bool), jnp.eye(len(OWN), dtype=bool)])
    kept, *moved = jax.jit(jax.vmap(run))((jnp.arange(len(flags)) > 0).astype(jnp.float32), flags)
    np.testing.assert_allclose(kept, clean.hidden, **TOLERANCE)
    for site, hidden in zip(OWN, moved, strict=True):
        assert np.abs(hidden - clean.hidden)[0].max() > 1e-3, site


@pytest.mark.parametrize("name", ["causal", "scanned"])
def test_the_stream_of_another_text_goes_on_as_that_text(small, name):
    case = small(**SCHEMES[name])
    run = jitted(case.model)
    other = run(case.variables, OTHER, intermediates=(Site.RESIDUAL,))
    for layer in range(2):
        value = other.intermediates[Site.RESIDUAL][layer]
        patch = Intervention(site=Site.RESIDUAL, layer=layer, value=value)
        patched = run(case.variables, INPUTS, interventions=(patch,), intermediates=(Site.RESIDUAL,))
        np.testing.assert_allclose(patched.hidden, other.hidden, **TOLERANCE)
        streams = patched.intermediates[Site.RESIDUAL]
        np.testing.assert_allclose(streams[layer:], other.intermediates[Site.RESIDUAL][layer:], **TOLERANCE)
        if layer:
            np.testing.assert_allclose(streams[0], shown(case).intermediates[Site.RESIDUAL][0], **TOLERANCE)


@pytest.mark.parametrize("name", ["causal", "scanned"])
def test_every_layer_and_position_in_one_mapped_program(small, name):
    case = small(**SCHEMES[name])
    value = shown(case).intermediates[Site.RESIDUAL][::-1]

    def patched(layer, mask):
        change = Intervention(site=Site.RESIDUAL, layer=layer, mask=mask, value=value[layer])
        return case.model.apply(case.variables, OTHER, interventions=(change,)).hidden

    layers, places = jnp.arange(2), jnp.eye(6, dtype=bool)[:, None]
    mapped = jax.vmap(jax.vmap(patched, in_axes=(None, 0)), in_axes=(0, None))
    found = jax.jit(mapped)(layers, places)
    assert found.shape == (2, 6, 2, 6, 16)
    one = jax.jit(patched)
    plain = jitted(case.model)(case.variables, OTHER).hidden
    for layer in range(2):
        for place in range(6):
            expected = one(jnp.int32(layer), places[place])
            np.testing.assert_allclose(found[layer, place], expected, **TOLERANCE)
            # A causal model's earlier positions do not see the change, nor does the other segment.
            np.testing.assert_allclose(found[layer, place][:, :place], plain[:, :place], **TOLERANCE)
            assert np.abs(found[layer, place][0, place] - plain[0, place]).max() > 1e-3


def test_the_gradient_of_an_added_zero_is_that_of_the_stream(small):
    """Behind the first of two blocks: a model of the second one alone reads that stream as embeddings."""
    case = small(position="none", causal=True)
    weights = jax.random.normal(jax.random.key(2), (2, 6, 16))
    body = case.variables["params"]["body"]
    rest = {
        "params": {"body": {**body, "block_00": body["block_01"]}, "head": case.variables["params"]["head"]}
    }
    del rest["params"]["body"]["block_01"]
    last = models.build(dataclasses.replace(case.config, depth=1), "causal_lm")

    def added(zero):
        change = Intervention(site=Site.RESIDUAL, layer=0, value=zero, operation="add")
        return (case.model.apply(case.variables, INPUTS, interventions=(change,)).hidden * weights).sum()

    def of_stream(stream):
        inputs = models.Inputs(embeddings=stream, segments=INPUTS.segments)
        return (last.apply(rest, inputs).hidden * weights).sum()

    stream = shown(case).intermediates[Site.RESIDUAL][0]
    found = jax.jit(jax.grad(added))(jnp.zeros_like(stream))
    expected = jax.jit(jax.grad(of_stream))(stream)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_head_without_probabilities_or_values_is_one_that_is_not_read(small):
    """Its columns of the output's kernel are zero instead."""
    case = small(**SCHEMES["causal"])
    run, head = jitted(case.model), 2
    variables = jax.tree.map(jnp.copy, case.variables)
    kernel = variables["params"]["body"]["block_01"]["attention"]["output"]["kernel"]
    heads = kernel.reshape(16, 4, 4).at[:, head].set(0.0)
    variables["params"]["body"]["block_01"]["attention"]["output"]["kernel"] = heads.reshape(16, 16)
    expected = run(variables, INPUTS).hidden
    of_probs = jnp.arange(4).reshape(1, 4, 1, 1) == head
    for site, mask in ((Site.ATTENTION_PROBS, of_probs), (Site.VALUES, of_probs.swapaxes(1, 2))):
        change = Intervention(site=site, layer=1, mask=mask, value=0.0)
        found = run(case.variables, INPUTS, interventions=(change,)).hidden
        np.testing.assert_allclose(found, expected, **TOLERANCE)
    assert np.abs(expected - run(case.variables, INPUTS).hidden).max() > 1e-3


def test_a_query_of_zeros_reads_the_mean_and_only_where_it_is_masked(small):
    case = small(**SCHEMES["causal"])
    mask = jnp.zeros((2, 6), bool).at[0, 2].set(True)
    change = Intervention(site=Site.QUERIES, layer=0, mask=mask, value=0.0)
    wanted = (Site.ATTENTION_PROBS,)
    probs = jitted(case.model)(case.variables, INPUTS, interventions=(change,), intermediates=wanted)
    found, clean = (
        values[Site.ATTENTION_PROBS][0] for values in (probs.intermediates, shown(case).intermediates)
    )
    np.testing.assert_allclose(found[0, :, 2], np.broadcast_to([1 / 3] * 3 + [0] * 3, (4, 6)), **TOLERANCE)
    others = np.asarray(~mask)[:, None, :, None]
    np.testing.assert_allclose(np.where(others, found, 0), np.where(others, clean, 0), **TOLERANCE)


def test_a_cache_keeps_keys_and_values_as_changed(small):
    case = small(causal=True, position="rotary")
    mask = jnp.zeros((2, 6), bool).at[:, 1].set(True)
    changes = tuple(
        Intervention(site=site, layer=0, mask=mask, value=0.5) for site in (Site.KEYS, Site.VALUES)
    )
    first = tuple(dataclasses.replace(change, mask=mask[:, :4]) for change in changes)
    positions = jnp.broadcast_to(jnp.arange(6), (2, 6))
    run = jitted(case.model)
    expected = run(case.variables, TOKENS, interventions=changes).hidden
    read = models.Inputs(tokens=TOKENS[:, :4], positions=positions[:, :4])
    output = run(case.variables, read, cache=models.empty_cache(case.config, 2, 6), interventions=first)
    granted = jnp.broadcast_to(jnp.tri(6, dtype=bool)[4:], (2, 1, 2, 6))
    rest = models.Inputs(tokens=TOKENS[:, 4:], positions=positions[:, 4:], attention_mask=granted)
    found = run(case.variables, rest, cache=output.cache, slots=positions[:, 4:])
    np.testing.assert_allclose(found.hidden, expected[:, 4:], **TOLERANCE)
    assert np.abs(expected - run(case.variables, TOKENS).hidden)[:, 4:].max() > 1e-3


def test_both_sides_of_an_encoder_decoder():
    """Its own values, the stream of another source, and three ways to be deaf to the source."""
    model, variables = two_sided()
    written = jnp.array([[0, 4, 5], [0, 7, 0]])
    inputs, other = (
        models.Inputs(tokens=written, encoder=models.Inputs(tokens=tokens))
        for tokens in (TOKENS, OTHER.tokens)
    )
    show = functools.partial(jitted(model), intermediates=tuple(Site))
    clean, theirs = show(variables, inputs), show(variables, other)
    patch = Intervention(
        site=Site.ENCODER_RESIDUAL, layer=1, value=theirs.intermediates[Site.ENCODER_RESIDUAL][1]
    )
    changes = [patch]
    changes += [
        Intervention(site=site, value=0.0)
        for site in (Site.CROSS_ATTENTION_OUTPUT, Site.CROSS_VALUES, Site.CROSS_ATTENTION_PROBS)
    ]
    changes += [Intervention(site=site, value=clean.intermediates[site][0]) for site in Site]

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(None, 0))
    def run(inputs, flags):
        masked = [dataclasses.replace(change, mask=flag) for change, flag in zip(changes, flags, strict=True)]
        return model.apply(variables, inputs, interventions=masked).hidden

    flags = jnp.eye(5, len(changes), dtype=bool).at[4].set(jnp.arange(len(changes)) >= 4)
    patched, *deaf, kept = run(inputs, flags)
    np.testing.assert_allclose(patched, theirs.hidden, **TOLERANCE)
    np.testing.assert_allclose(kept, clean.hidden, **TOLERANCE)
    for found, also in zip(deaf, run(other, flags)[1:4], strict=True):
        np.testing.assert_allclose(found, also, **TOLERANCE)
    # Without values and without probabilities the output's bias is left, which is another thing than nothing.
    np.testing.assert_allclose(deaf[1], deaf[2], **TOLERANCE)
    assert np.abs(clean.hidden - theirs.hidden).max() > 1e-3
    memory = jitted(model)(variables, inputs.encoder, interventions=(patch,), method="encode").hidden
    halves = models.Inputs(tokens=written, memory=memory)
    np.testing.assert_allclose(jitted(model)(variables, halves).hidden, theirs.hidden, **TOLERANCE)


@pytest.mark.parametrize("name", ["causal", "scanned", "post"])
def test_without_interventions_the_program_is_that_of_blocks_without_sites(small, name, monkeypatch):
    case = small(**SCHEMES[name])

    def lowered(**how):
        def loss(variables):
            return case.model.apply(variables, INPUTS, **how).hidden.sum()

        return jax.jit(jax.value_and_grad(loss)).lower(case.variables).as_text()

    found = lowered()
    changed = lowered(interventions=(Intervention(site=Site.KEYS, value=0.0),))
    assert changed != found
    monkeypatch.setattr(_interventions.PassedSites, "at", lambda self, site, array: array)
    monkeypatch.setattr(_interventions.PassedSites, "changer", lambda self, site: None)
    assert lowered() == found


def test_refusals(small):
    case = small()
    zeros = functools.partial(Intervention, site=Site.RESIDUAL, value=0.0)
    for changes, message in [
        ((zeros(layer=2),), "layers of site residual are 0 to 1: got layer=2"),
        ((zeros(site=Site.EMBEDDINGS, layer=1),), "layers of site embeddings are 0 to 0: got layer=1"),
        ((zeros(value=jnp.zeros(3)),), r"value at residual broadcasts to \[2, 6, 16\]: got \[3\]"),
        ((zeros(mask=jnp.ones((2, 5), bool)),), r"mask at residual broadcasts to \[2, 6\]: got \[2, 5\]"),
        ((zeros(mask=jnp.ones((2, 6))),), "mask at residual is boolean: got float32"),
        ((zeros(site=OF_ENCODER[0]),), "site encoder_embeddings is not one of this model's"),
    ]:
        with pytest.raises(errors.UsageError, match=message):
            case.model.apply(case.variables, INPUTS, interventions=changes)
    with pytest.raises(errors.UsageError, match=r"a tuple of models.Intervention: got Intervention"):
        _interventions.as_interventions(zeros())
