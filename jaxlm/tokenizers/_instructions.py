"""Tokenizers of instruction traces: mnemonics and frequent operands are whole tokens, others are split."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from jaxlm.errors import ConfigError, CorpusError
from jaxlm.tokenizers._byte_level import CONTINUATION, to_symbols
from jaxlm.tokenizers._kinds import INSTRUCTION_SPECIALS, instructions_backend
from jaxlm.tokenizers._pieces import ALPHABET, train_pieces
from jaxlm.tokenizers._texts import as_texts
from jaxlm.tokenizers._tokenizer import Tokenizer

MIN_INSTRUCTIONS_VOCAB = len(INSTRUCTION_SPECIALS) + len(ALPHABET)


class PretokenCounts(NamedTuple):
    """How often each pretoken occurs, special tokens excluded.

    Attributes:
      pretokens: counts of all pretokens.
      mnemonics: counts of the first pretokens of instructions.
    """

    pretokens: Counter
    mnemonics: Counter


def train_instructions(texts: Iterable[str], *, vocab_size: int = 4096) -> Tokenizer:
    """Trains a tokenizer of instruction traces, which are functions written as text.

    A trace has pretokens (opcodes and operands) between white space, and `[NEXT]` between instructions.

    The vocabulary holds six special tokens ([PAD] 0, [UNK] 1, [SEP] 2, [CLS] 3, [MASK] 4, [NEXT] 5), a symbol
    for each byte that can begin a pretoken and one for each that can continue it, mnemonics (the first
    pretokens of instructions, of which the most frequent get at most half of the free ids), and byte-pair
    pieces. Pieces are merged in the order of their frequency, so every operand that is more frequent than the
    last merge is a whole token too; in a large vocabulary that is every operand that occurs twice. Nothing
    becomes [UNK]: an unseen mnemonic, `-8` or a CJK name is split, and decoding restores it. A special token
    is recognised only as a whole pretoken, so `eax[MASK]` is an operand.

    The same texts in any order give the same file.

    Args:
      texts: the traces, each of which is read once. A single string is one trace.
      vocab_size: the largest number of ids; few texts can give fewer.

    Returns:
      A `Tokenizer` of kind "instructions".

    Raises:
      ConfigError: `vocab_size` is too small for the special tokens and the bytes.
      CorpusError: there are no texts, or they hold nothing but special tokens.

    Example:
      >>> from jaxlm.tokenizers import train_instructions
      >>> tokenizer = train_instructions(["xor rax rax [NEXT] ret", "mov rax 42 [NEXT] ret"], vocab_size=512)
      >>> [tokenizer.token(id) for id in tokenizer.encode("xor rax [MASK] [NEXT] xor rax -8")]
      ['xor', 'rax', '[MASK]', '[NEXT]', 'xor', 'rax', '-', '…8']
    """
    num_free = vocab_size - MIN_INSTRUCTIONS_VOCAB
    if num_free < 0:
        raise ConfigError(
            f"an instruction vocabulary needs at least {MIN_INSTRUCTIONS_VOCAB} ids (specials and bytes): "
            f"got vocab_size={vocab_size}; give it more"
        )
    counts = count_pretokens(texts)
    if not counts.pretokens:
        raise CorpusError("expected traces to train on: found no pretoken but specials")
    whole = frequent_pretokens(counts.mnemonics)[: num_free // 2]
    merges = train_pieces(piece_counts(counts.pretokens, whole), num_free - len(whole))
    pieces = (left + right.removeprefix(CONTINUATION) for left, right in merges)
    symbols = dict.fromkeys((*INSTRUCTION_SPECIALS, *ALPHABET, *map(to_symbols, whole), *pieces))
    backend = instructions_backend({symbol: id for id, symbol in enumerate(symbols)}, merges)
    return Tokenizer.from_json(backend.to_str())


def count_pretokens(texts: Iterable[str]) -> PretokenCounts:
    """Counts the pretokens of traces.

    Example:
      >>> from jaxlm.tokenizers._instructions import count_pretokens
      >>> count_pretokens(["mov rax 42 [NEXT] ret"]).mnemonics
      Counter({'mov': 1, 'ret': 1})
    """
    counts = PretokenCounts(Counter(), Counter())
    for text in as_texts(texts):
        pretokens = text.split()
        counts.pretokens.update(pretokens)
        counts.mnemonics.update(
            pretoken
            for before, pretoken in zip(["[NEXT]", *pretokens], pretokens, strict=False)
            if before == "[NEXT]"
        )
    for counter in counts:
        for special in INSTRUCTION_SPECIALS:
            del counter[special]
    return counts


def frequent_pretokens(counts: Counter) -> list[str]:
    """Returns the pretokens by descending count; those with equal counts by spelling.

    Example:
      >>> from collections import Counter
      >>> from jaxlm.tokenizers._instructions import frequent_pretokens
      >>> frequent_pretokens(Counter({"ret": 1, "mov": 2, "add": 1}))
      ['mov', 'add', 'ret']
    """
    return sorted(counts, key=lambda pretoken: (-counts[pretoken], pretoken))


def piece_counts(counts: Counter, whole: Iterable[str]) -> dict[str, int]:
    """Returns the counts on which pieces are trained: each pretoken by its count, those in `whole` once.

    Mnemonics are whole tokens and need no pieces, but unseen ones resemble them. A pretoken that begins with
    a special token is left out, so that no merge makes that token: `[NEXT]er` must remain text.

    Args:
      counts: counts of pretokens.
      whole: pretokens that are whole tokens.

    Example:
      >>> from collections import Counter
      >>> from jaxlm.tokenizers._instructions import piece_counts
      >>> piece_counts(Counter({"mov": 9, "rax": 5, "[NEXT]er": 2}), ["mov"])
      {'mov': 1, 'rax': 5}
    """
    weights = {**counts, **dict.fromkeys(whole, 1)}
    return {
        pretoken: count
        for pretoken, count in weights.items()
        if not pretoken.startswith(INSTRUCTION_SPECIALS)
    }
