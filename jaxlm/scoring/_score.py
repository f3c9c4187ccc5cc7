"""The score of one record: the columns of every measure, described."""

from typing import Any, NamedTuple


class Score(NamedTuple):
    """The score of one record.

    Attributes:
      id: of the record.
      values: by column, as the measure and its options say; empty if there is an error.
      error: why there is no score, in one line; None if there is one.

    The columns are also those of the parts of a job. Log-likelihoods, surprisals and entropies are in nats;
    in a job with `base="2"` they are in bits. Lists have an entry a token or a word, None if nothing predicts
    it.

    Of a text:
      `num_tokens`, `num_scored`: its tokens, and how many of them are predicted; with `eos` including the
        closing token.
      `num_words`, `num_bytes`: words separated by white space, and bytes of UTF-8, of the original text.
      `log_likelihood`: the sum of log p(token, given those before it).
      `perplexity`, `word_perplexity`, `byte_perplexity`: exp(-log-likelihood / scored tokens, words, bytes).
      `bits_per_byte`: -log-likelihood / (ln 2 * bytes). This and the perplexities by word and byte are None
        if the text's first token has no score.
      `pseudo_log_likelihood`: the sum of log p(token | the other tokens), the token being masked.
      `pseudo_log_likelihood_within_word`, `pseudo_log_likelihood_whole_word`: the same with the tokens that
        follow it in its word masked, too, or with its whole word masked.
      `pseudo_perplexity`: exp(-the first of these / scored tokens).
      `pseudo_log_likelihood_estimate`, `pseudo_perplexity_estimate`: their estimates from a single pass.

    Of a continuation ("conditional"), in addition to `num_tokens`, `num_bytes` and `log_likelihood`:
      `num_context_tokens`, `num_cut`: tokens of the context, and how many of them were cut off.
      `log_likelihood_per_token`, `log_likelihood_per_byte`: divided by the continuation's tokens or bytes.
      `is_greedy`: whether each of its tokens is the likeliest id.

    Of each token, with `tokens`:
      `token_ids`, `token_strings`: its id, and a readable string.
      `token_starts`, `token_ends`: its offsets in the bytes of the text.
      `token_log_probs`: log p(token), by the measure's first masking if there are several.
      `token_log_probs_within_word`, `token_log_probs_whole_word`: the same with more of its word masked.
      `token_ranks`, `token_entropies`: how many ids are likelier, 0 = none; the entropy over the ids.
      `token_words`: the number of its word, from 0 ("pseudo-log-likelihood").
      `token_estimates`: the estimate of its masked log-probability from a single pass.
      `top_ids`, `top_strings`, `top_log_probs`: with `top_k` the likeliest ids at its place.

    Of each word, with `words`:
      `words`: its text, without the white space around it. For "log-likelihood" words are separated by white
        space, for "pseudo-log-likelihood" `word_unit` says what they are.
      `word_surprisals`: -log p(word | the text before it), corrected at its end: the probability that the
        word ends counts for it and not for the next word, so that this is not the sum over its tokens. None
        for a first word that nothing predicts. See Pimentel and Meister, https://arxiv.org/abs/2406.14561.
      `word_log_probs`, `word_log_probs_within_word`, `word_log_probs_whole_word`: the sum over its tokens
        for each masking ("pseudo-log-likelihood"), without such a correction.

    Of a variant:
      `variant`, `num_symbols`, `num_mutations`: its name, its length, and how many symbols it exchanges; the
        first is "" and the last None if its length is not the wild type's.
      `wt_marginals`, `mutant_marginals`, `wt_fill`, `mask_fill`, `mut_fill`, `match_fill`: log p(the mutant's
        symbol) - log p(the wild type's), summed over the mutated places; they differ in what the model reads.
      `pllr`, `llr`: the difference of the two sequences' pseudo-log-likelihoods, or log-likelihoods.
      `measured`: the measured value; None if it is missing.

    Of a trace ("instruction-ratio"), in addition to `num_tokens` and `num_scored`:
      `num_instructions`: how many instructions it has.
      `max_ratio`, `mean_ratio`: of its instructions' ratios, 0 = the model expects the instruction.
      `most_unexpected`, `most_unexpected_instruction`: the number, from 0, and the text of the instruction
        with the largest ratio.
      `instruction_ratios`, `instruction_log_likelihoods`: of each instruction.

    Of step functions ("step-scores"), in addition to `num_tokens`, `num_scored` and, with `tokens`, the token
    lists:
      `token_contrast_ids`: the id that each token is compared with, for functions that compare.
      A column for each function, with its name (`top_p_size(top_p=0.9)`): the number that `StepFunction.span`
      makes of the values of the text's tokens; with `token_` before the name, the list of these values.

    Example:
      >>> from jaxlm.scoring import Score
      >>> Score("tales.txt:1", {"log_likelihood": -12.5}, None).values["log_likelihood"]
      -12.5
    """

    id: str
    values: dict[str, Any]
    error: str | None
