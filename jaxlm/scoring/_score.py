"""What was found for one record: the columns of every measure, described."""

from typing import Any, NamedTuple


class Score(NamedTuple):
    """What was found for one record.

    Attributes:
      id: of the record.
      values: by column, those of the measure and its options; empty where there is an error.
      error: why there is none, one line; else None.

    The columns, which are those of a job's parts, too. Log-likelihoods, surprisals and entropies are in nats,
    of a job with `base="2"` in bits. Lists have an entry a token or a word, None where nothing predicts it.

    Of a text:
      `num_tokens`, `num_scored`: its tokens, and how many are predicted, with `eos` the closing one, too.
      `num_words`, `num_bytes`: words between white space, and bytes of UTF-8, of the text as it came.
      `log_likelihood`: the sum of log p(token, given those before it).
      `perplexity`, `word_perplexity`, `byte_perplexity`: exp(-log-likelihood / scored tokens, words, bytes).
      `bits_per_byte`: -log-likelihood / (ln 2 * bytes). This and the rates by word and byte are None where
        the text's first token has no score.
      `pseudo_log_likelihood`: the sum of log p(token, masked, given the others).
      `pseudo_log_likelihood_within_word`, `pseudo_log_likelihood_whole_word`: the same with what follows the
        token in its word, or with all of its word, masked.
      `pseudo_perplexity`: exp(-the first of these / scored tokens).
      `pseudo_log_likelihood_estimate`, `pseudo_perplexity_estimate`: what a single pass says of them.

    Of a continuation ("conditional"), beside `num_tokens`, `num_bytes` and `log_likelihood`:
      `num_context_tokens`, `num_cut`: tokens of the context, and how many of them were cut off.
      `log_likelihood_per_token`, `log_likelihood_per_byte`: divided by the continuation's tokens or bytes.
      `is_greedy`: whether each of its tokens is the likeliest one.

    Of each token, with `tokens`:
      `token_ids`, `token_strings`: its id, and what a person reads for it.
      `token_starts`, `token_ends`: where it stands in the bytes of the text.
      `token_log_probs`: log p(token), by the measure's first masking where there are several.
      `token_log_probs_within_word`, `token_log_probs_whole_word`: the same with more of its word masked.
      `token_ranks`, `token_entropies`: how many ids are likelier, 0 = none; the entropy over all ids.
      `token_words`: the number of its word, from 0 ("pseudo-log-likelihood").
      `token_estimates`: the estimate of log p(token, masked) from a single pass.
      `top_ids`, `top_strings`, `top_log_probs`: with `top_k` the likeliest ids in its place.

    Of each word, with `words`:
      `words`: its text, without the white space around it. Of "log-likelihood" words are what white space
        divides, of "pseudo-log-likelihood" what `word_unit` says.
      `word_surprisals`: -log p(word, given what is before it), corrected at its end: that the word ends there
        is of its own probability and not of the next word's, so that this is not the sum of its tokens'. None
        for a first word that nothing predicts. See Pimentel and Meister, https://arxiv.org/abs/2406.14561.
      `word_log_probs`, `word_log_probs_within_word`, `word_log_probs_whole_word`: the sums of its tokens', by
        each masking ("pseudo-log-likelihood"), without such a correction.

    Of a variant:
      `variant`, `num_symbols`, `num_mutations`: its name, its length, and how many symbols it exchanges; ""
        and None for the first and the last of another length than the wild type's.
      `wt_marginals`, `mutant_marginals`, `wt_fill`, `mask_fill`, `mut_fill`, `match_fill`: log p(the mutant's
        symbol) - log p(the wild type's), summed over the mutated places; they differ in what the model reads.
      `pllr`, `llr`: the difference of the two sequences' pseudo-log-likelihoods, or log-likelihoods.
      `measured`: what was measured of it; None where that is missing.

    Of a trace ("instruction-ratio"), beside `num_tokens` and `num_scored`:
      `num_instructions`: how many it has.
      `max_ratio`, `mean_ratio`: of its instructions' ratios, 0 = what the model expects.
      `most_unexpected`, `most_unexpected_instruction`: which has the largest, from 0, and its text.
      `instruction_ratios`, `instruction_log_likelihoods`: of each instruction.

    Of step functions ("step-scores"), beside `num_tokens`, `num_scored` and, with `tokens`, what tokens have:
      `token_contrast_ids`: the id that each token is compared with, of functions that compare.
      A column a function, called as it is (`top_p_size(top_p=0.9)`), is what `StepFunction.span` makes of the
      values of the text's tokens; with `token_` before the name it is the list of these values.

    Example:
      >>> Score("tales.txt:1", {"log_likelihood": -12.5}, None).values["log_likelihood"]
      -12.5
    """

    id: str
    values: dict[str, Any]
    error: str | None
