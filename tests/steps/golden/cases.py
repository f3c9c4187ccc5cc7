"""Which texts, contrasts and functions the golden numbers are of."""

from typing import Any, NamedTuple

Alignment = tuple[tuple[int, int], ...]


class Case(NamedTuple):
    """A text, what follows or translates it, and what it is compared with.

    Attributes:
        model: a name of `tiny.write`.
        name: of the case.
        text: a prompt, or a source.
        target: the whole text that begins with the prompt, or the source's translation.
        contrast: a whole text, or a translation, to compare the target with.
        contrast_source: a source to compare the source with.
        alignment: pairs of offsets, the target's and the contrast's; None: inseq's own, the ends together.
        is_noisy: whether it is asked about with dropout, too.
    """

    model: str
    name: str
    text: str
    target: str
    contrast: str | None = None
    contrast_source: str | None = None
    alignment: Alignment | None = None
    is_noisy: bool = False


class Function(NamedTuple):
    """A step function by its name, with options."""

    name: str
    options: dict[str, Any]


PLAIN = (
    Function("logit", {}),
    Function("probability", {}),
    Function("probability", {"logprob": True}),
    Function("entropy", {}),
    Function("crossentropy", {}),
    Function("perplexity", {}),
    Function("top_p_size", {"top_p": 0.5}),
    Function("top_p_size", {"top_p": 0.9}),
    Function("top_p_size", {"top_p": 1.0}),
)
CONTRASTIVE = (
    Function("contrast_logits", {}),
    Function("contrast_prob", {}),
    Function("contrast_prob", {"logprob": True}),
    Function("contrast_logits_diff", {}),
    Function("contrast_prob_diff", {}),
    Function("contrast_prob_diff", {"logprob": True}),
    Function("pcxmi", {}),
    Function("in_context_pvi", {}),
    Function("kl_divergence", {}),
    Function("kl_divergence", {"top_k": 5}),
    Function("kl_divergence", {"top_p": 0.8}),
    Function("kl_divergence", {"top_k": 6, "top_p": 0.95}),
    Function("kl_divergence", {"top_p": 0.2, "min_tokens_to_keep": 4}),
)
LONG = "the dog saw the cat in the park and the old man saw a bird under the tree"
SLEEPS, SCHLAFT = "the dog sleeps under the tree", "der hund schläft im park"
# An order of its own, which no rule would give.
SHUFFLED = ((0, 2), (1, 0), (2, 4), (3, 1), (4, 3))

GPT2 = (
    Case("gpt2", "one token", "the dog", "the dog saw", is_noisy=True),
    Case("gpt2", "from the second token on", "the", "the cat saw a bird"),
    Case("gpt2", "long", "the dog saw the cat", LONG),
    Case("gpt2", "same length", "the", "the dog saw the cat", "the cat saw the dog"),
    Case("gpt2", "only the last token", "the dog", "the dog saw the cat", "the dog saw the dog"),
    Case("gpt2", "longer, not aligned", "the dog", "the dog saw the cat", "a man and the dog saw the cat"),
    Case(
        "gpt2",
        "shorter, not aligned",
        "the cat saw",
        "the cat saw the dog saw the cat",
        "the dog saw the dog",
    ),
    Case(
        "gpt2",
        "longer, aligned",
        "the dog",
        "the dog saw the cat",
        "the cat saw the dog saw a cat",
        alignment=((2, 5), (3, 3), (4, 7)),
    ),
)
TRANSLATIONS = tuple(
    case
    for model in ("t5", "marian")
    for case in (
        Case(model, "short", "the cat", "die katze", is_noisy=True),
        Case(model, "long", LONG, "der hund sah die katze im park und der alte mann sah eine katze"),
        Case(model, "same length", SLEEPS, SCHLAFT, "die katze schläft im park"),
        Case(model, "longer, not aligned", SLEEPS, SCHLAFT, "der alte hund schläft und schläft im park"),
        Case(
            model,
            "aligned",
            "the dog saw a cat",
            "der hund sah eine katze",
            "der vogel sah die katze",
            None,
            SHUFFLED,
        ),
        Case(model, "another source", SLEEPS, SCHLAFT, None, "a bird sleeps in the park"),
        Case(
            model, "another source and translation", SLEEPS, SCHLAFT, "die katze sah im park", "the old man"
        ),
    )
)
CASES = GPT2 + TRANSLATIONS
