"""The settings that a person writes, in TOML. The console never writes them.

default_profile = "prod"
theme = "textual-light"
utc = true                   # how times are shown at first; without it as they were last

[profiles.prod]
url = "http://10.0.0.5:8093"
verify_every = 60            # seconds

[filters]
denials = "kind:*denied severity:>=warning"

[keys]
find = "f,ctrl+f"
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from audit_stream.display import safe
from audit_stream.errors import AuditStreamError
from audit_tui.storage.shared_file import TooLarge, read_small

__all__ = ["Config", "ConfigError", "FieldError", "Profile", "load"]

T = TypeVar("T")

_MAX_BYTES = 1 << 20


class ConfigError(AuditStreamError):
    """The settings cannot be used; one sentence that names the file and the field, and says what to do."""


class FieldError(AuditStreamError):
    """A field and what is wrong with it, as one sentence."""


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A daemon under a name; `verify_every` in seconds, None for the console's own pace."""

    url: str
    verify_every: Annotated[float, msgspec.Meta(gt=0, le=86_400)] | None = None


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings; None where the file does not say.

    `keys` is in Textual's names, ready for `App.set_keymap`. Filters are as they were written, not yet parsed, since
    the parser takes long to load. Whether there is such a theme is the app's to say.
    """

    default_profile: str | None = None
    theme: str | None = None
    utc: bool | None = None
    profiles: dict[str, Profile] = {}
    filters: dict[str, str] = {}
    keys: dict[str, str] = {}


class _Tables(msgspec.Struct, forbid_unknown_fields=True):
    """A first look at the file, which leaves what is within its tables: msgspec does not name their keys."""

    default_profile: str | None = None
    theme: str | None = None
    utc: bool | None = None
    profiles: dict[str, Any] = {}
    filters: dict[str, Any] = {}
    keys: dict[str, Any] = {}


def load(path: Path, check_keys: Callable[[Mapping[str, str]], dict[str, str]]) -> Config:
    """The settings in this file; defaults when there is no such file. Raises ConfigError.

    `check_keys` is `keymap.checked_keys`, which is called only where there are any.
    """
    try:
        content = read_small(path, max_bytes=_MAX_BYTES)
    except TooLarge as error:
        raise ConfigError(f"{safe(str(error))}: settings are a short TOML file") from None
    except OSError as error:
        raise ConfigError(f"{safe(str(path))} cannot be read: {error.strerror}") from None
    if content is None:
        return Config()
    try:
        return _config(_tables(content), check_keys)
    except FieldError as error:
        raise ConfigError(f"{safe(str(path))}: {safe(str(error))}") from None


def _tables(content: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(content.decode())
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise FieldError(f"line {line} is not UTF-8: save the file as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise FieldError(f"this is no TOML: {error}") from None
    except RecursionError:
        raise FieldError("this nests too deeply for settings") from None


def _config(content: dict[str, Any], check_keys: Callable[[Mapping[str, str]], dict[str, str]]) -> Config:
    tables = _converted("", content, _Tables)
    config = Config(
        default_profile=tables.default_profile,
        theme=tables.theme,
        utc=tables.utc,
        profiles={name: _profile(name, value) for name, value in tables.profiles.items()},
        filters=_texts("filters", tables.filters),
        keys=_texts("keys", tables.keys),
    )
    if config.default_profile is not None and config.default_profile not in config.profiles:
        raise FieldError(
            f"default_profile: there is no profile {config.default_profile[:80]!r}: add [profiles.NAME] with its url"
        )
    return msgspec.structs.replace(config, keys=check_keys(config.keys)) if config.keys else config


def _profile(name: str, value: object) -> Profile:
    field = f"profiles.{name[:80]}"
    profile = _converted(field, value, Profile)
    if profile.verify_every is not None and not math.isfinite(profile.verify_every):
        raise FieldError(f"{field}.verify_every: write seconds, such as 30")
    if not _is_address(profile.url):
        raise FieldError(f"{field}.url: write an address such as http://127.0.0.1:8093")
    return profile


def _is_address(text: str) -> bool:
    """A first look, without loading the client; `audit_stream.client.base_url` has the last word on use."""
    try:
        address = urlsplit(text if "://" in text else f"http://{text}")
    except ValueError:
        return False
    return text.isprintable() and " " not in text and address.scheme in ("http", "https") and bool(address.hostname)


def _texts(table: str, values: Mapping[str, Any]) -> dict[str, str]:
    return {name: _converted(f"{table}.{name[:80]}", value, str) for name, value in values.items()}


_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`", re.DOTALL)
_PATH = re.compile(r" - at `\$?\.?(.*)`$", re.DOTALL)
_TYPES = {"str": "text", "bool": "true or false", "float": "a number", "object": "a table", "int": "a whole number"}


def _converted(field: str, value: object, shape: type[T]) -> T:
    """The value in this shape. Raises FieldError in words for people."""
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        message = str(error)
    path = _PATH.search(message)
    reason = message[: path.start()] if path else message
    within = path[1] if path else ""
    unknown, missing = _UNKNOWN.fullmatch(reason), _MISSING.fullmatch(reason)
    if unknown is not None:
        known = ", ".join(getattr(shape, "__struct_fields__", ()))
        raise FieldError(f"{_joined(field, unknown[1][:80])}: there is no such setting: use one of {known}") from None
    if missing is not None:
        raise FieldError(f"{_joined(field, missing[1])}: is missing") from None
    named = re.sub(r"`([a-z]+)( \| null)?`", lambda match: _TYPES.get(match[1], match[1]), reason)
    raise FieldError(f"{_joined(field, within)}: {named[:1].lower()}{named[1:]}") from None


def _joined(field: str, within: str) -> str:
    return f"{field}.{within}" if field and within else field or within
