"""What the files beside a tokenizer say of it: its class, its roles, and the tokens that were added to it."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import AddedToken

from jaxlm import io
from jaxlm.errors import ModelError
from jaxlm.tokenizers._classes import TokenizerFamily, class_name, tokenizer_family
from jaxlm.tokenizers._roles import Specials
from jaxlm.tokenizers._texts import check_characters

_FLAGS = ("lstrip", "rstrip", "single_word", "normalized")
LONGEST_ID = 18  # digits
# In transformers' order, in which tokens are added that a vocabulary lacks.
_ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")

# The roles of a class whose tokens no one names. The end of a text stands for what is unknown in GPT-2's,
# whose bytes leave nothing unknown.
USUAL_ROLES: dict[TokenizerFamily, dict[str, str]] = {
    "bert": {"unk": "[UNK]", "sep": "[SEP]", "pad": "[PAD]", "cls": "[CLS]", "mask": "[MASK]"},
    "esm": {"eos": "<eos>", "unk": "<unk>", "pad": "<pad>", "cls": "<cls>", "mask": "<mask>"},
    "roberta": {"bos": "<s>", "eos": "</s>", "unk": "<unk>"}
    | {"sep": "</s>", "pad": "<pad>", "cls": "<s>", "mask": "<mask>"},
    "gpt2": {"bos": "<|endoftext|>", "eos": "<|endoftext|>"},
    "qwen2": {"eos": "<|endoftext|>", "pad": "<|endoftext|>"},
    "llama": {"bos": "<s>", "eos": "</s>", "unk": "<unk>"},
    "gemma": {"bos": "<bos>", "eos": "<eos>", "unk": "<unk>", "pad": "<pad>", "mask": "<mask>"},
    "t5": {"eos": "</s>", "unk": "<unk>", "pad": "<pad>"},
    "neox": {"bos": "<|endoftext|>", "eos": "<|endoftext|>", "pad": "<|padding|>"},
}


class ListedToken(NamedTuple):
    """A token that stands for itself in a text, and its id where a file says it."""

    token: AddedToken
    id: int | None


class TokenizerSettings(NamedTuple):
    """What stands beside a tokenizer.

    Attributes:
      values: special_tokens_map.json and tokenizer_config.json, the latter first; without nulls.
      denied: the roles that tokenizer_config.json says no token has.
      listed: tokens with an id of their own, by id: of added_tokens_decoder, and of added_tokens.json.
      roles: role to token, as the files name them; an empty name is none.
      further: other tokens that stand for themselves, in order.
      class_name: transformers' class; None where no file says it.
      rows: of the embedding of the model beside it; None where there is none.
    """

    values: Mapping[str, Any]
    denied: frozenset[str]
    listed: tuple[ListedToken, ...]
    roles: dict[str, str]
    further: tuple[str, ...]
    class_name: str | None
    rows: int | None

    @property
    def way(self) -> TokenizerFamily | None:
        return tokenizer_family(self.class_name)

    @property
    def told_roles(self) -> dict[str, str | None]:
        """Role to token, None of a role that no token has."""
        return dict.fromkeys(self.denied) | self.roles

    @property
    def named_roles(self) -> dict[str, str]:
        """Role to token: those that files name, and the class's own for the others."""
        usual = {} if self.way is None else USUAL_ROLES.get(self.way, {})
        return {role: name for role, name in usual.items() if role not in self.denied} | self.roles

    def reserved(self) -> list[ListedToken]:
        """All tokens that stand for themselves: listed ones, those of roles, then the further ones."""
        found = {str(one.token.content): one for one in self.listed}
        roles = self.named_roles
        for role in sorted(roles, key=lambda role: _ROLES.index(role) if role in _ROLES else len(_ROLES)):
            name = roles[role]
            if name in found:
                found[name].token.special = True
            else:
                found[name] = ListedToken(_token(self.values.get(f"{role}_token"), name, special=True), None)
        for name in self.further:
            found.setdefault(name, ListedToken(_token(None, name, special=True), None))
        return list(found.values())


def read_settings(folder: Path) -> TokenizerSettings:
    """Reads the files beside a tokenizer; those that are not there say nothing.

    Args:
      folder: holds them.

    Returns:
      `TokenizerSettings`.

    Raises:
      ValueError: one line that names the file which is no JSON object.
    """
    config = read_object(folder / "tokenizer_config.json")
    names = read_object(folder / "special_tokens_map.json")
    model = _model(folder / "config.json")
    values = {key: value for key, value in (names | _known(config)).items() if value is not None}
    roles = {role: _content(values.get(f"{role}_token")) for role in Specials._fields}
    # Where the config lists the added tokens, it alone tells the further ones too.
    decoder = config.get("added_tokens_decoder")
    further = tuple(dict.fromkeys(_further(config if isinstance(decoder, dict) else values)))
    special = {*filter(None, roles.values()), *further}
    listed = {one.token.content: one for one in _added(folder / "added_tokens.json", special)}
    listed |= {one.token.content: one for one in _decoder(decoder if isinstance(decoder, dict) else {})}
    # Every listed token has an id; the default is for the type alone.
    by_id = sorted(listed.values(), key=lambda token: -1 if token.id is None else token.id)
    rows = model.get("vocab_size")
    return TokenizerSettings(
        values=values,
        denied=frozenset(role for role in roles if _is_denied(role, config) and not roles[role]),
        listed=tuple(by_id),
        roles={role: name for role, name in roles.items() if name},
        further=further,
        class_name=class_name(config, model),
        rows=rows if type(rows) is int else None,
    )


def read_object(file: Path) -> dict[str, Any]:
    """Returns the JSON object of a file, an empty one if there is no such file.

    Raises:
      ModelError: if it is no JSON object, or holds a text that has no UTF-8.
    """
    if not file.exists():
        return {}
    try:
        text = file.read_text(encoding="utf-8-sig")
        found = io.parse_json(text)
    except ValueError as error:
        raise ModelError(f"{file}: not JSON ({error})") from error
    if not isinstance(found, dict):
        raise ModelError(f"{file}: expected a JSON object, got {type(found).__name__}")
    # JSON can escape half of a surrogate pair, of which the library makes no token.
    if "\\ud" in text.lower():
        _check_characters(file, found)
    return found


def _check_characters(file: Path, found: Mapping[str, Any]) -> None:
    try:
        check_characters(json.dumps(found, ensure_ascii=False))
    except ValueError as error:
        raise ModelError(f"{file}: a text holds half of a surrogate pair, which is no character") from error


def _model(file: Path) -> dict[str, Any]:
    """config.json, of which whoever opens the model says what is wrong with it."""
    try:
        return read_object(file)
    except ModelError:
        return {}


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _is_denied(role: str, config: Mapping[str, Any]) -> bool:
    return config.get(f"{role}_token", "") is None


def _content(token: Any) -> str:
    """The text of a token, which is a string or an object with its content; empty for anything else."""
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else ""


def _token(stored: Any, name: str, *, special: bool) -> AddedToken:
    flags = stored if isinstance(stored, dict) else {}
    known = {flag: bool(flags[flag]) for flag in _FLAGS if flags.get(flag) is not None}
    return AddedToken(name, special=special, **{"normalized": not special} | known)


def _further(values: Mapping[str, Any]) -> Iterator[str]:
    """Tokens of names that are no roles (`image_token`), then those of the lists without names."""
    usual = {f"{role}_token" for role in Specials._fields}
    yield from (value for key, value in values.items() if _names_token(key, value) and key not in usual)
    lists = [values.get(key) for key in ("extra_special_tokens", "additional_special_tokens")]
    found = next((one for one in lists if one), [])
    for one in found.values() if isinstance(found, dict) else found if isinstance(found, list) else []:
        if name := _content(one):
            yield name


def _names_token(key: str, value: Any) -> bool:
    return key.endswith("_token") and isinstance(value, str) and value != ""


def _decoder(found: Mapping[str, Any]) -> Iterator[ListedToken]:
    for id, stored in found.items():
        name = _content(stored)
        if id.isdecimal() and len(id) <= LONGEST_ID and isinstance(stored, dict) and name:
            yield ListedToken(_token(stored, name, special=bool(stored.get("special"))), int(id))


def _added(file: Path, special: set[str]) -> Iterator[ListedToken]:
    for name, id in read_object(file).items():
        if type(id) is not int:
            raise ModelError(f"{file}: expected a JSON object of tokens and ids")
        if name:
            yield ListedToken(_token(None, name, special=name in special), id)
