"""How unexpected instructions are, against one forward pass each."""

import numpy as np
import pytest

from jaxlm import data, scoring
from jaxlm.scoring.engine._instruction_positions import instruction_positions_on_host

TRACE = "mov rax rbx [NEXT] xor eax eax [NEXT] ret"
CLOSE = 1e-4


def slowly(loaded, log_probs_of, masking, tokens):
    """Ratio and log-likelihood of each instruction of a trace."""
    tokenizer = loaded.tokenizer
    numbers = instruction_positions_on_host(tokens, tokenizer.specials.next)[:, 0]
    found = []
    for number in range(numbers[-1] + 1):
        places = [n for n in np.flatnonzero(numbers == number) if tokens[n] != tokenizer.specials.next]
        ratio = likelihood = 0.0
        for place in places:
            masked = tokens.copy()
            masked[places if masking == "instruction" else [place]] = tokenizer.specials.mask
            log_probs = log_probs_of(loaded, masked)[place]
            ratio += log_probs.max() - log_probs[tokens[place]]
            likelihood += log_probs[tokens[place]]
        found.append((ratio, likelihood))
    return np.array(found)


@pytest.mark.parametrize("masking", ["instruction", "token"])
def test_an_instruction_is_compared_with_the_likeliest_in_its_place(trace_lm, rows_of, log_probs_of, masking):
    row = rows_of(trace_lm, scoring.InstructionRatio(masking=masking), [TRACE])[0]
    expected = slowly(trace_lm, log_probs_of, masking, trace_lm.tokenizer.encode(TRACE))
    found = np.array([row["instruction_ratios"], row["instruction_log_likelihoods"]]).T
    np.testing.assert_allclose(found, expected, rtol=0, atol=CLOSE)
    worst = expected[:, 0].argmax()
    assert row["most_unexpected"] == worst
    assert row["most_unexpected_instruction"] == ["mov rax rbx", "xor eax eax", "ret"][worst]
    assert row["max_ratio"] == pytest.approx(expected[:, 0].max(), abs=CLOSE)
    assert row["mean_ratio"] == pytest.approx(expected[:, 0].mean(), abs=CLOSE)
    assert row["num_instructions"] == 3 and row["num_tokens"] == row["num_scored"] + 2


def test_an_instruction_is_one_copy_or_one_a_token(trace_lm, context):
    record = data.Record("trace", TRACE, {})
    regular = len(trace_lm.tokenizer.encode(TRACE)) - 2
    for masking, copies in (("instruction", 3), ("token", regular)):
        measure = scoring.InstructionRatio(masking=masking, ends=False)
        planned = measure.start(context(trace_lm), record)
        next_id = trace_lm.tokenizer.specials.next
        assert len(planned.queries) == copies
        assert all((piece.tokens == next_id).sum() == 2 for piece in planned.queries)


def test_a_trace_that_ends_its_last_instruction_has_no_more_of_them(trace_lm, rows_of):
    row = rows_of(trace_lm, scoring.InstructionRatio(), ["ret [NEXT]"])[0]
    assert (row["num_instructions"], row["most_unexpected_instruction"]) == (1, "ret")


def test_an_instruction_of_a_long_trace_is_in_the_middle_of_its_window(trace_lm, rows_of, log_probs_of):
    text = " [NEXT] ".join(["mov rax rbx", "add rax 42", "ret"] * 3)
    tokens, room = trace_lm.tokenizer.encode(text), 16
    row = rows_of(trace_lm, scoring.InstructionRatio(), [text], row_length=room)[0]
    assert len(tokens) > room and row["num_instructions"] == 9
    places = np.flatnonzero(
        instruction_positions_on_host(tokens, trace_lm.tokenizer.specials.next)[:, 0] == 4
    )
    start = min(max(int((places[0] + places[-1] + 1) / 2) - room // 2, 0), len(tokens) - room)
    part = tokens[start : start + room]
    hidden = places[:-1] - start
    masked = part.copy()
    masked[hidden] = trace_lm.tokenizer.specials.mask
    log_probs = log_probs_of(trace_lm, masked)[hidden]
    ratio = (log_probs.max(-1) - log_probs[np.arange(len(hidden)), part[hidden]]).sum()
    assert row["instruction_ratios"][4] == pytest.approx(ratio, abs=CLOSE)
    said = rows_of(trace_lm, scoring.InstructionRatio(long="error"), [text], row_length=room)[0]
    assert said.startswith(f"{len(tokens)} tokens, and the model reads at most 16")


def test_only_traces_have_instructions(word_lm, context):
    with pytest.raises(scoring.ScoreError, match=r"for traces of instructions, .* has no \[NEXT\]"):
        scoring.InstructionRatio().resolved(context(word_lm))


def test_an_instruction_of_specials_alone_has_no_ratio(trace_lm, rows_of):
    row = rows_of(trace_lm, scoring.InstructionRatio(), ["mov rax rbx [NEXT] [NEXT] ret"])[0]
    ratios = row["instruction_ratios"]
    assert row["num_instructions"] == 3 and ratios[1] is row["instruction_log_likelihoods"][1] is None
    assert row["mean_ratio"] == pytest.approx((ratios[0] + ratios[2]) / 2, abs=CLOSE)
    assert row["max_ratio"] == pytest.approx(max(ratios[0], ratios[2]), abs=CLOSE)
