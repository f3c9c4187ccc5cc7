"""What the vocabulary cannot write, asked of causal models: an error, or scored if asked."""

import pytest
import tokenizers as backends

from jaxlm import data, models, scoring, tokenizers

OTHER = "to be or bee"
RECORDS = {
    scoring.LogLikelihood: data.Record("0", OTHER, {}),
    scoring.Conditional: data.Record("0", " to", {"context": OTHER}),
}


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    """Of a tokenizer of whole words."""
    words = {word: id for id, word in enumerate(("[UNK]", "to", "be", "or"))}
    backend = backends.Tokenizer(backends.models.WordLevel(words, unk_token="[UNK]"))
    backend.pre_tokenizer = backends.pre_tokenizers.WhitespaceSplit()
    backend.add_special_tokens(["[UNK]"])
    path = tmp_path_factory.mktemp("words") / "tokenizer.json"
    backend.save(str(path))
    tokenizer = tokenizers.load_tokenizer(path)
    config = models.TransformerConfig(vocab_size=4, causal=True)
    return scoring.Context(config, "causal_lm", tokenizer, 32, False, tokenizer.encode)


def planned(context, measure, record):
    return measure.resolved(context).start(context, record)


@pytest.mark.parametrize("kind", RECORDS)
def test_what_the_vocabulary_cannot_write_is_an_error_or_scored_if_asked(context, kind):
    record = RECORDS[kind]
    with pytest.raises(scoring.ScoreError, match="the vocabulary has no token for 'bee' at character 9"):
        planned(context, kind(), record)
    (piece,) = planned(context, kind(unknown="score"), record).queries
    assert context.tokenizer.specials.unk in [*piece.tokens, *piece.targets]
    known = record._replace(text=" to be", meta={"context": "or"})
    assert len(planned(context, kind(), known).queries) == 1


def test_a_text_that_spells_the_unknown_token_has_it(context):
    (piece,) = planned(context, scoring.LogLikelihood(), data.Record("0", "to be [UNK] or", {})).queries
    assert context.tokenizer.specials.unk in piece.targets
