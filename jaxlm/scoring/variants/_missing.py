"""How tables say that a value is missing."""

import re

# What pandas, R, spreadsheets and databases write, in any case.
MISSING_WORDS = re.compile(
    r"<?\(?#?(na|n/a|n\.a\.)\)?>?|#n/a n/a|[-+]?nan|none|null|#(null|value|ref)!|-?1\.#(ind|qnan)"
)
MISSING_MARKS = re.compile(r"[-\u2010-\u2015\u2212._?\s]*")


def is_missing(text: str) -> bool:
    """Returns whether a cell says that it has no value: empty, a lone mark such as `-`, or a word such as NA.

    Example:
      >>> from jaxlm.scoring.variants._missing import is_missing
      >>> [is_missing(text) for text in ("", " - ", "NA", "NaN", "None", "A23T", "0")]
      [True, True, True, True, True, False, False]
    """
    if MISSING_MARKS.fullmatch(text) is not None:
        return True
    word = text.strip().strip("'\"").strip()
    return not word or MISSING_WORDS.fullmatch(word.casefold()) is not None
