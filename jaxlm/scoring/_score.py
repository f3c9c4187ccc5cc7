"""The score of one record: the columns of every measure, described."""

from typing import Any, NamedTuple


class Score(NamedTuple):
    """The score of one record.

    Attributes:
      id: the record's id.
      values: the values by column; which columns there are depends on the measure and its options (see
        below). Empty if there is an error.
      error: one line that says why the record has no score; None if it has one.

    The files of a job (see `run_job`) have the same columns. Log-likelihoods, surprisals and entropies are in
    nats; in a job with `base="2"` they are in bits. Lists have one entry per token or per word; the entry is
    None if the model does not predict that token or word.

    Of a text:
      `num_tokens`, `num_scored`: the number of tokens, and how many tokens are predicted. With `eos` the
        latter includes the closing token.
      `num_words`, `num_bytes`: the number of words separated by white space, and of bytes in UTF-8, in the
        original text.
      `log_likelihood`: the sum over the scored tokens of log p(token | the tokens before it).
      `perplexity`, `word_perplexity`, `byte_perplexity`: exp(-log-likelihood / n), where n is the number of
        scored tokens, of words, or of bytes.
      `bits_per_byte`: -log-likelihood / (ln 2 * number of bytes). This column and the perplexities by word
        and byte are None if the text's first token has no score.
      `pseudo_log_likelihood`: the sum over tokens of log p(token | the other tokens), where the token itself
        is masked.
      `pseudo_log_likelihood_within_word`, `pseudo_log_likelihood_whole_word`: the same sum with the later
        tokens of the word masked, too, or with the whole word masked.
      `pseudo_perplexity`: exp(-s / number of scored tokens), where s is the sum under the first masking.
      `pseudo_log_likelihood_estimate`, `pseudo_perplexity_estimate`: estimates of the pseudo-log-likelihood
        and the pseudo-perplexity from one pass of the model ("single-pass").

    Of the bytes of a text ("byte-log-likelihood"), in addition to `num_words` and `num_bytes`:
      `log_likelihood`: the log of the probability that the column `probability` names, of the text as the
        beginning of a text; with `eos` as the whole of one.
      `word_perplexity`, `byte_perplexity`, `bits_per_byte`: as above, of this log-likelihood.
      `probability`: "stem" or "canonical": the sum over which ways to divide the text (see
        `ByteLogLikelihood`).
      `dropped`: the share of this probability that was left out, in [0, 1].
      `num_windows`: how many windows the text was read in.
      `byte_log_probs`: with `bytes`, log p(byte | the bytes before it). The surprisal of any span of bytes is
        minus the sum of its bytes.

    Of a continuation ("conditional"), in addition to `num_tokens`, `num_bytes` and `log_likelihood`:
      `num_context_tokens`, `num_cut`: the number of tokens of the context, and how many tokens were cut off.
      `log_likelihood_per_token`, `log_likelihood_per_byte`: the log-likelihood divided by the number of the
        continuation's tokens or bytes.
      `is_greedy`: whether each of the continuation's tokens is the likeliest id at its position.

    Of each token, with `tokens`:
      `token_ids`, `token_strings`: the token's id, and a readable string.
      `token_starts`, `token_ends`: where the token begins and ends in the UTF-8 bytes of the text.
      `token_log_probs`: log p(token), under the measure's first masking if there are several.
      `token_log_probs_within_word`, `token_log_probs_whole_word`: log p(token) with the later tokens of the
        word masked, too, or with the whole word masked.
      `token_ranks`, `token_entropies`: how many ids are likelier than the token, 0 = none; the entropy of the
        distribution over the ids.
      `token_words`: the number of the word that the token belongs to, from 0 ("pseudo-log-likelihood").
      `token_estimates`: the estimate of the token's masked log-probability from one pass ("single-pass").
      `top_ids`, `top_strings`, `top_log_probs`: with `top_k`, the likeliest ids at the token's position,
        their strings and their log-probabilities.

    Of each word, with `words`:
      `words`: the word's text, without the white space around it. For "log-likelihood" words are separated by
        white space, for "pseudo-log-likelihood" the option `word_unit` says what a word is.
      `word_surprisals`: -log p(word | the text before it), corrected at the word's end: the probability that
        the word ends there counts for this word, and not for the next one, whose first token would otherwise
        contain it. So a surprisal differs from the sum over the word's tokens. None for a first word that
        nothing predicts. See Pimentel and Meister, https://arxiv.org/abs/2406.14561.
      `word_log_probs`, `word_log_probs_within_word`, `word_log_probs_whole_word`: the sum of the
        log-probabilities of the word's tokens under each masking ("pseudo-log-likelihood"), without this
        correction.

    Of a variant:
      `variant`, `num_symbols`, `num_mutations`: the variant's name, its length, and how many symbols it
        exchanges. If its length is not the wild type's, `variant` is "" and `num_mutations` is None.
      `wt_marginals`, `mutant_marginals`, `wt_fill`, `mask_fill`, `mut_fill`, `match_fill`: the sum over the
        mutated positions of log p(the mutant's symbol) - log p(the wild type's symbol). The columns differ in
        what the model reads (see `VariantEffect`).
      `pllr`, `llr`: the mutant's pseudo-log-likelihood, or log-likelihood, minus the wild type's.
      `measured`: the measured value of the corpus; None if it is missing.

    Of a trace ("instruction-ratio"), in addition to `num_tokens` and `num_scored`:
      `num_instructions`: how many instructions the trace has.
      `max_ratio`, `mean_ratio`: the largest and the mean ratio of its instructions; a ratio is 0 if the model
        expects the instruction.
      `most_unexpected`, `most_unexpected_instruction`: the number (from 0) and the text of the instruction
        with the largest ratio.
      `instruction_ratios`, `instruction_log_likelihoods`: lists with one entry per instruction.

    Of step functions ("step-scores"), in addition to `num_tokens`, `num_scored` and, with `tokens`, the token
    lists:
      `token_contrast_ids`: the id that each token is compared with, for functions that compare.
      A column for each function, with its name (`top_p_size(top_p=0.9)`): the number that `StepFunction.span`
      makes of the values of the text's tokens; a second column with `token_` before the name holds the list
      of these values.

    Of an embedding ("embedding"), in addition to `num_tokens`:
      `vector`: `Float32[D]`, a NumPy array, in files a list of D numbers.
      `token_vectors`: without pooling, the vectors of the tokens in `token_ids`, `Float32[n D]`.

    Of a prediction ("prediction"), in addition to `num_tokens`:
      `predicted_class`, `probability`, `probabilities`: of a classifier, the name of the likeliest class, its
        probability, and those of all classes, a NumPy array `Float32[C]`; the column's metadata names them.
      `predicted_classes`: if classes do not exclude each other, those with a probability of at least 0.5.
      `value`, `values`: of a regression, its value, or its C values, in the units of the labels.

    Example:
      >>> from jaxlm.scoring import Score
      >>> Score("tales.txt:1", {"log_likelihood": -12.5}, None).values["log_likelihood"]
      -12.5
    """

    id: str
    values: dict[str, Any]
    error: str | None
