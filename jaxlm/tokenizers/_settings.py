"""The settings in the files beside a tokenizer: its class, its roles, and its added tokens."""

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
# The order in which transformers adds tokens of roles that a vocabulary lacks.
_ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")

# The tokens of a class's roles, if no file names them. GPT-2 takes the end of a text for the unknown token,
# which its bytes never need.
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
    """A token that is matched as a whole in a text.

    Attributes:
      token: the token.
      id: its id; None if no file tells it.
    """

    token: AddedToken
    id: int | None


class TokenizerSettings(NamedTuple):
    """The settings in the files beside a tokenizer.

    Attributes:
      values: entries of special_tokens_map.json and tokenizer_config.json, which wins; without nulls.
      denied: the roles for which tokenizer_config.json has null: no token has them.
      listed: added tokens with ids, in their order, of added_tokens_decoder and added_tokens.json.
      roles: token by role, as the files name them; without empty names.
      further: other tokens that are matched as a whole, in order.
      class_name: the name of transformers' class; None if no file tells it.
      rows: the rows of the embedding of the model in the same folder; None if there is no model.
    """

    values: Mapping[str, Any]
    denied: frozenset[str]
    listed: tuple[ListedToken, ...]
    roles: dict[str, str]
    further: tuple[str, ...]
    class_name: str | None
    rows: int | None

    @property
    def family(self) -> TokenizerFamily | None:
        """The family of the class; None for a plain or unknown class."""
        return tokenizer_family(self.class_name)

    @property
    def told_roles(self) -> dict[str, str | None]:
        """Token by role; None for a role that no token has."""
        return dict.fromkeys(self.denied) | self.roles

    @property
    def named_roles(self) -> dict[str, str]:
        """Token by role, from the files, and for other roles from the class."""
        usual = {} if self.family is None else USUAL_ROLES.get(self.family, {})
        return {role: name for role, name in usual.items() if role not in self.denied} | self.roles

    def reserved(self) -> list[ListedToken]:
        """Returns all tokens that are matched as a whole: listed ones, those of roles, then further ones."""
        tokens = {str(listed.token.content): listed for listed in self.listed}
        roles = self.named_roles
        for role in sorted(roles, key=lambda role: _ROLES.index(role) if role in _ROLES else len(_ROLES)):
            name = roles[role]
            if name in tokens:
                tokens[name].token.special = True
            else:
                tokens[name] = ListedToken(_token(self.values.get(f"{role}_token"), name, special=True), None)
        for name in self.further:
            tokens.setdefault(name, ListedToken(_token(None, name, special=True), None))
        return list(tokens.values())


def read_settings(folder: Path) -> TokenizerSettings:
    """Reads the files beside a tokenizer; each of them may be missing.

    Args:
      folder: holds the files.

    Returns:
      `TokenizerSettings`.

    Raises:
      ModelError: one line that names a file which is no JSON object.
    """
    config = read_object(folder / "tokenizer_config.json")
    names = read_object(folder / "special_tokens_map.json")
    model = _model(folder / "config.json")
    values = {key: value for key, value in (names | _known(config)).items() if value is not None}
    roles = {role: _content(values.get(f"{role}_token")) for role in Specials._fields}
    # If the config lists the added tokens, further tokens are taken from it alone.
    decoder = config.get("added_tokens_decoder")
    further = tuple(dict.fromkeys(_further(config if isinstance(decoder, dict) else values)))
    special = {*filter(None, roles.values()), *further}
    tokens = [*_added(folder / "added_tokens.json", special)]
    tokens += _decoder(decoder if isinstance(decoder, dict) else {})
    listed = {token.token.content: token for token in tokens}
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
    """Returns the JSON object in a file; an empty one if there is no such file.

    Raises:
      ModelError: the file is no JSON object, or holds a text that UTF-8 cannot write.
    """
    if not file.exists():
        return {}
    try:
        text = file.read_text(encoding="utf-8-sig")
        content = io.parse_json(text)
    except ValueError as error:
        raise ModelError(f"{file}: not JSON ({error})") from error
    if not isinstance(content, dict):
        raise ModelError(f"{file}: expected a JSON object, got {type(content).__name__}")
    # JSON can escape half of a surrogate pair, which cannot be a token.
    if "\\ud" in text.lower():
        _check_characters(file, content)
    return content


def _check_characters(file: Path, content: Mapping[str, Any]) -> None:
    try:
        check_characters(json.dumps(content, ensure_ascii=False))
    except ValueError as error:
        raise ModelError(f"{file}: a text holds half of a surrogate pair, which is no character") from error


def _model(file: Path) -> dict[str, Any]:
    """The content of config.json; empty if it is damaged, which is reported when the model is opened."""
    try:
        return read_object(file)
    except ModelError:
        return {}


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _is_denied(role: str, config: Mapping[str, Any]) -> bool:
    return config.get(f"{role}_token", "") is None


def _content(token: Any) -> str:
    """The text of a token, which is a string or an object with `content`; empty for anything else."""
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else ""


def _token(stored: Any, name: str, *, special: bool) -> AddedToken:
    flags = stored if isinstance(stored, dict) else {}
    known = {flag: bool(flags[flag]) for flag in _FLAGS if flags.get(flag) is not None}
    return AddedToken(name, special=special, **{"normalized": not special} | known)


def _further(values: Mapping[str, Any]) -> Iterator[str]:
    """Tokens with names that are no roles (`image_token`), then those in lists without names."""
    usual = {f"{role}_token" for role in Specials._fields}
    yield from (value for key, value in values.items() if _names_token(key, value) and key not in usual)
    lists = [values.get(key) for key in ("extra_special_tokens", "additional_special_tokens")]
    tokens = next((tokens for tokens in lists if tokens), [])
    if isinstance(tokens, dict):
        tokens = list(tokens.values())
    for token in tokens if isinstance(tokens, list) else []:
        if name := _content(token):
            yield name


def _names_token(key: str, value: Any) -> bool:
    return key.endswith("_token") and isinstance(value, str) and value != ""


def _decoder(decoder: Mapping[str, Any]) -> Iterator[ListedToken]:
    for id, stored in decoder.items():
        name = _content(stored)
        if id.isdecimal() and len(id) <= LONGEST_ID and isinstance(stored, dict) and name:
            yield ListedToken(_token(stored, name, special=bool(stored.get("special"))), int(id))


def _added(file: Path, special: set[str]) -> Iterator[ListedToken]:
    for name, id in read_object(file).items():
        if type(id) is not int:
            raise ModelError(f"{file}: expected a JSON object of tokens and ids")
        if name:
            yield ListedToken(_token(None, name, special=name in special), id)
