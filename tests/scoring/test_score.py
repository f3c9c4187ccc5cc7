"""What `Score` says of its values is all that measures return, and nothing else."""

import inspect
import re

from jaxlm import models, scoring
from jaxlm.scoring.variants._variant_effect import VARIANT_METHODS

# Step functions, whose columns are called by whoever asks for them.
STEPS = ("entropy", "kl_divergence")


def measures(causal, masked, traces):
    """Every measure with every column that it can have, and the context that it is asked in."""
    yield scoring.LogLikelihood(tokens=True, top_k=2, words=True), causal
    yield scoring.Conditional(), causal
    maskings = ("original", "within-word", "whole-word")
    yield scoring.PseudoLogLikelihood(masking=maskings, tokens=True, top_k=2, words=True), masked
    yield scoring.SinglePass(tokens=True), masked
    yield scoring.InstructionRatio(), traces
    yield scoring.StepScores(functions=STEPS, contrast="other"), causal
    for question, context in (("next_token", causal), ("fill", masked)):
        yield (
            scoring.VariantEffect(wild_type="MK", methods=VARIANT_METHODS[question], measured="score"),
            context,
        )
    yield scoring.ByteLogLikelihood(bytes=True), causal
    yield scoring.Embedding(pool="mean"), masked
    yield scoring.Embedding(pool="none"), causal
    extra = {"problem_type": "multi_label_classification"}
    two = models.HeadConfig(num_outputs=2)
    yield scoring.Prediction(), masked._replace(kind=models.CLASSIFICATION, head=two, extra=extra)
    for number in (1, 2):
        head = models.HeadConfig(num_outputs=number)
        yield scoring.Prediction(), masked._replace(kind=models.REGRESSION, head=head)


def test_every_key_of_values_is_described(causal_protein_lm, word_lm, trace_lm, context):
    asked = list(measures(*map(context, (causal_protein_lm, word_lm, trace_lm))))
    assert {type(measure) for measure, _ in asked} == set(scoring.MEASURES.values())
    columns = {field.name for measure, where in asked for field in measure.columns(where)}
    columns -= {prefix + name for name in STEPS for prefix in ("", "token_")}
    # Python 3.13 takes a docstring's indentation off.
    lines = [line.partition(": ")[0] for line in inspect.getdoc(scoring.Score).splitlines()]
    keys = [line for line in lines if line.startswith("  `")]
    # Measures of tokens and of bytes have columns of the same name, described with each.
    assert set(re.findall(r"`(\w+)`", "".join(keys))) == columns


def test_where_a_surprisal_is_read_it_says_that_it_is_corrected(causal_protein_lm, context):
    where = context(causal_protein_lm)
    fields = {field.name: field for field in scoring.LogLikelihood(words=True).columns(where)}
    assert b"corrected" in fields["word_surprisals"].metadata
    assert fields["word_surprisals"].metadata[b"unit"] == b"nats"
    assert "corrected at" in scoring.Score.__doc__ and "corrected at" in scoring.LogLikelihood.__doc__
