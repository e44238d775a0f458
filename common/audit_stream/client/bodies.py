"""An event as the JSON that a producer sends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from audit_stream.errors import ClientError

__all__ = ["encode"]


def encode(event: Mapping[str, Any]) -> bytes:
    """The event's JSON; nothing in it becomes something else unsaid.

    What msgspec knows as text is written so, such as an instant or a UUID. Raises ClientError, which names the field,
    for what JSON cannot carry: NaN, infinities, half a character, keys that are no text, other objects.
    """
    if not isinstance(event, Mapping):
        raise ClientError(f"an event is a mapping with kind, source and perhaps payload, not {_type(event)}")
    return b"{%b}" % b",".join(_member(name, value) for name, value in _pairs(event))


def _pairs(event: Mapping[str, Any]) -> list[tuple[str, Any]]:
    pairs = list(event.items())
    for name, _ in pairs:
        if not isinstance(name, str):
            raise ClientError(f"the fields of an event have names, not {_type(name)}")
    return pairs


def _member(name: str, value: object) -> bytes:
    shown = name[:64].encode("ascii", "backslashreplace").decode("ascii")
    try:
        return f"{_encode(name)}:{_encode(_plain(value))}".encode()
    except UnicodeEncodeError:
        reason = "holds a lone surrogate, which is no character: send well-formed text"
    except RecursionError:
        reason = "nests too deep, or holds itself"
    except (TypeError, msgspec.ValidationError) as error:
        reason = f"holds what JSON cannot carry ({error})"
    except ValueError:
        reason = "holds NaN, an infinity or a number of too many digits, which JSON cannot carry: send null or a text"
    raise ClientError(f"{shown}: {reason}")


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def _plain(value: object) -> object:
    """The value in what `json` writes. Raises TypeError for a key that is no text: 1 and "1" would become one."""
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"a key of type {_type(key)}")
        return {key: _plain(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(child) for child in value]
    if value is None or isinstance(value, str | int | float):
        return value
    return _plain(msgspec.to_builtins(value, enc_hook=_unknown))


def _unknown(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"an object of type {_type(value)}")


def _type(value: object) -> str:
    return type(value).__name__
