"""The ids that are read and asked for are those of lm-evaluation-harness's own `hf`."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxlm import models, pretrained, tokenizers
from jaxlm.scoring._harness_tokens import HarnessTokens
from tests.tokenizers.published import LETTERS, PUBLISHED, save_published

LONGEST = 7
# The harness's own cannot be asked where there is neither bos nor eos.
NAMES = [name for name in PUBLISHED if name not in ("BERT", "cls and sep alone")]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The harness's own class without a model, which tells what it would ask one for; and ours."""
    for needed in ("lm_eval", "torch", "transformers"):
        pytest.importorskip(needed)
    from lm_eval.api.model import LM
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoTokenizer

    class Asked(HFLM):
        def __init__(self, folder):
            LM.__init__(self)
            self.tokenizer = AutoTokenizer.from_pretrained(folder)
            self.backend, self._max_length, self._device = "causal", LONGEST, "cpu"
            self.add_bos_token = self.custom_prefix_token_id = self.enable_thinking = None
            self.batch_size_per_gpu, self._rank, self._world_size = 1, 0, 1
            if self.tokenizer.pad_token is None:
                self.tokenizer.pad_token = self.tokenizer.eos_token

        def _loglikelihood_tokens(self, requests, **options):
            self.asked.extend((list(context), list(rest)) for _, context, rest in requests)
            return [(0.0, False)] * len(requests)

        def pairs(self, kind, arguments):
            from lm_eval.api.instance import Instance

            self.asked = []
            requests = [Instance(kind, {}, one, 0) for one in arguments]
            getattr(self, kind)(requests, disable_tqdm=True)
            return self.asked

    made = {}
    for name in NAMES:
        folder = save_published(name, tmp_path_factory.mktemp("published"))
        tokenizer = tokenizers.load_tokenizer(folder)
        config = models.TransformerConfig(vocab_size=tokenizer.vocab_size, causal=True)
        model = models.build(config, "causal_lm")
        loaded = pretrained.Loaded(config, "causal_lm", model, {}, tokenizer, {"huggingface": {}})
        made[name] = Asked(folder), HarnessTokens(loaded)
    return made


def listed(pairs):
    return [(context.tolist(), rest.tolist()) for context, rest in pairs]


def texts(name):
    """Letters, and specials that are spelled out, the opening one among them."""
    return st.lists(st.sampled_from([*LETTERS, *PUBLISHED[name][0]]), max_size=12).map("".join)


@pytest.mark.parametrize("name", NAMES)
def test_pairs_windows_and_prompts(both, name):
    theirs, ours = both[name]

    @settings(max_examples=60, deadline=None)
    @given(texts(name), texts(name))
    def check(context, rest):
        # Theirs asserts that something is there to read, and to ask for.
        if rest and (context.strip() or not context):
            try:
                expected = theirs.pairs("loglikelihood", [(context, rest)])
            except IndexError:
                expected = None
            if expected is not None:
                assert listed(ours.pairs([(context, rest)])) == expected
        whole = context + rest
        windows = listed(ours.rolling(ours.texts([whole])[0], LONGEST))
        assert windows == theirs.pairs("loglikelihood_rolling", [(whole,)])
        if whole:
            ids, _ = theirs.tok_batch_encode([whole])
            assert ours.prompts([whole])[0].tolist() == ids[0].tolist()

    check()


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_context_the_opening_token_spelled_out_and_an_empty_document(both, name):
    theirs, ours = both[name]
    prefix = theirs.tokenizer.decode(theirs.prefix_token_id)
    pairs = list(itertools.product(["", prefix, f"{prefix}ab", "ab "], ["cd", f"{prefix}cd", " a"]))
    assert listed(ours.pairs(pairs)) == theirs.pairs("loglikelihood", pairs)
    for text in ("", prefix, f"{prefix}ab", "abcdefghab" * 3):
        windows = listed(ours.rolling(ours.texts([text])[0], LONGEST))
        assert windows == theirs.pairs("loglikelihood_rolling", [(text,)])


def test_a_model_of_a_run_is_read_as_it_was_trained():
    own = tokenizers.bytes_tokenizer()
    cls, sep = own.specials.cls, own.specials.sep
    for ends, opening in ((True, [cls]), (False, [])):
        extra = {"experiment": {"data": {"ends": ends}}}
        config = models.TransformerConfig(vocab_size=own.vocab_size, causal=True)
        model = models.build(config, "causal_lm")
        ours = HarnessTokens(pretrained.Loaded(config, "causal_lm", model, {}, own, extra))
        assert ours.texts(["a", "[CLS]a"])[0].tolist() == [*opening, 97]
        ((context, rest),) = ours.pairs([("a", "b")])
        assert (context.tolist(), rest.tolist()) == ([*opening, 97], [98])
        assert ours.prefix.tolist() == opening and sep not in np.concatenate(ours.texts(["a"]))
