"""Which bytes may come next, if a text is to be valid UTF-8: a table of states."""

import numpy as np

# Between two characters; and how many bytes of a character are missing, with what the next one must be.
START, ONE, TWO, THREE, AFTER_E0, AFTER_ED, AFTER_F0, AFTER_F4 = range(8)
INVALID = -1
# By state, how many bytes a character still lacks.
MISSING = np.array([0, 1, 2, 3, 2, 2, 3, 3], np.int32)


def _next_states() -> np.ndarray:
    table = np.full((8, 256), INVALID, np.int32)
    table[START, :0x80] = START
    table[START, 0xC2:0xE0] = ONE
    table[START, 0xE0:0xF0] = TWO
    table[START, 0xF0:0xF5] = THREE
    # Longer forms than needed, surrogates, and what lies behind the last character are no characters.
    table[START, [0xE0, 0xED, 0xF0, 0xF4]] = AFTER_E0, AFTER_ED, AFTER_F0, AFTER_F4
    table[ONE, 0x80:0xC0] = START
    table[TWO, 0x80:0xC0] = ONE
    table[THREE, 0x80:0xC0] = TWO
    table[AFTER_E0, 0xA0:0xC0] = ONE
    table[AFTER_ED, 0x80:0xA0] = ONE
    table[AFTER_F0, 0x90:0xC0] = TWO
    table[AFTER_F4, 0x80:0x90] = TWO
    table.flags.writeable = False
    return table


# `Int[8 256]` the state after each byte in each state; -1: no character has such bytes.
NEXT_STATES = _next_states()


def utf8_state(text: bytes, state: int = START) -> int:
    """Returns the state after some bytes; a byte that no character has there begins a character, if it can.

    Args:
      text: any bytes.
      state: the one before them.

    Example:
      >>> from jaxlm.decoding.bytes._utf8 import MISSING, utf8_state
      >>> [int(MISSING[utf8_state("né".encode()[:size])]) for size in range(4)]
      [0, 0, 1, 0]
    """
    for byte in text:
        following = NEXT_STATES[state, byte]
        if following == INVALID:
            following = NEXT_STATES[START, byte]
        state = START if following == INVALID else int(following)
    return state


def utf8_mask(states: np.ndarray, bytes_left: np.ndarray) -> np.ndarray:
    """Returns which bytes keep a text valid, and, last, whether it may end, `Bool[B 257]`.

    Args:
      states: `Int[B]` as `utf8_state` returns them.
      bytes_left: `Int[B]` how many bytes may come, at least 1; a character that needs more is not begun.

    Example:
      >>> import numpy as np
      >>> from jaxlm.decoding.bytes._utf8 import utf8_mask
      >>> masks = utf8_mask(np.array([0, 1]), np.array([1, 1]))
      >>> masks[0, :257].sum(), masks[1, 0x80:0xC0].all(), masks[1, 256]  # ASCII or the end; the second byte
      (129, True, False)
    """
    following = NEXT_STATES[states]
    fits = (following != INVALID) & (MISSING[following] < bytes_left[:, None])
    return np.concatenate([fits, (states == START)[:, None]], axis=1)
