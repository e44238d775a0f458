"""The daemon's settings: flags, then environment variables, then a TOML file, then the defaults below.

`Settings` is the one list of them: a field's annotation says its variable, how it is read and what it is for. The
command's flags and the reader below are made of it, and a test fails when one is missing from `docs/settings.md`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from audit_daemon.access import ANONYMOUS_SETTING, Grant, parse_grants
from audit_daemon.http.cors import CORS_SETTING
from audit_stream.errors import AuditStreamError, KindError
from audit_stream.kinds import DEFAULT_KINDS, EXTRA_KINDS_SETTING, KindRegistry
from audit_stream.wire import DEFAULT_HOST, DEFAULT_PORT, MAX_BATCH_BYTES, MAX_BATCH_EVENTS

__all__ = ["CONFIG_VARIABLE", "FIELDS", "Field", "Settings", "SettingsError", "load", "make_default_directory"]

CONFIG_VARIABLE = "AUDIT_STREAM_CONFIG"


class SettingsError(AuditStreamError):
    """A setting that cannot be used; the text names it, where it came from, and what to do."""


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One setting: its variable, how its text is read, and what it is for. `FIELDS` adds its name and default.

    `key` is what users call it, in the TOML file and with dashes as a flag; by default its name in `Settings`.
    """

    variable: str
    parse: Callable[[str], Any]
    help: str
    key: str = ""
    name: str = ""
    default: str = ""
    """As it would be typed; "" for none, or one that help and page put in words."""

    @property
    def flag(self) -> str:
        """The command's flag, such as `--cors-origins`."""
        return f"--{self.key.replace('_', '-')}"


def _host(text: str) -> str:
    if not text.strip():  # an empty address would mean every address
        raise ValueError("use an address to listen on, such as 127.0.0.1")
    return text.strip()


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise ValueError("use a port number from 0 to 65535; 0 takes any free one")
    return int(text)


def _path(text: str) -> Path:
    return Path(text).expanduser()


_LARGEST = 1e12


def _at_least(minimum: float, number: Callable[[str], Any]) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        try:
            value = number(text)
        except ValueError:
            value = float("nan")
        if not minimum <= value <= _LARGEST:
            raise ValueError(f"use a number from {minimum:g} to {_LARGEST:g}")
        return value

    return parse


def _origins(text: str) -> frozenset[str]:
    origins = [part.strip().rstrip("/").lower() for part in text.split(",") if part.strip()]  # as browsers write them
    for origin in origins:
        scheme, separator, rest = origin.partition("://")
        if origin != "*" and (not separator or not scheme or not rest or "/" in rest):
            raise ValueError(f"{origin!r} is no origin: use scheme://host or scheme://host:port, separated by commas")
    return frozenset(origins)


def _kinds(text: str) -> KindRegistry:
    try:
        return DEFAULT_KINDS.with_extra(text)
    except KindError as error:
        raise ValueError(str(error)) from None


def _choice(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError(f"use one of {', '.join(choices)}")
        return text.lower()

    return parse


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a daemon runs with. Times are in seconds, sizes in events or bytes, as the names say."""

    host: Annotated[str, Field(variable="HOST", parse=_host, help="Address to listen on.")] = DEFAULT_HOST
    port: Annotated[int, Field(variable="PORT", parse=_port, help="Port to listen on; 0 takes any free one.")] = (
        DEFAULT_PORT
    )
    db_path: Annotated[
        Path,
        Field(
            key="db",
            variable="AUDIT_STREAM_DB_PATH",
            parse=_path,
            help="The SQLite file, in a directory that exists; default audit-stream/audit.db in the user's data "
            "directory.",
        ),
    ]
    cors_origins: Annotated[
        frozenset[str],
        Field(
            variable=CORS_SETTING,
            parse=_origins,
            help="Origins whose pages may read and post, separated by commas; * for all.",
        ),
    ] = frozenset()
    kinds: Annotated[
        KindRegistry,
        Field(
            key="extra_kinds",
            variable=EXTRA_KINDS_SETTING,
            parse=_kinds,
            help="Kinds to accept beside the built-in ones: name or name:severity, separated by commas.",
        ),
    ] = DEFAULT_KINDS
    anonymous: Annotated[
        tuple[Grant, ...],
        Field(
            variable=ANONYMOUS_SETTING,
            parse=parse_grants,
            help="Networks beside loopback that are answered: append@CIDR or read@CIDR, separated by commas.",
        ),
    ] = ()
    verify_interval_s: Annotated[
        float,
        Field(
            variable="AUDIT_STREAM_VERIFY_INTERVAL_S",
            parse=_at_least(0, float),
            help="Seconds between the daemon's own verifications; 0 verifies on demand only.",
        ),
    ] = 300.0
    idempotency_ttl_s: Annotated[
        float,
        Field(
            variable="AUDIT_STREAM_IDEMPOTENCY_TTL_S",
            parse=_at_least(1, float),
            help="Seconds for which an Idempotency-Key is remembered.",
        ),
    ] = 86_400.0
    queue_events: Annotated[
        int,
        Field(
            variable="AUDIT_STREAM_QUEUE_EVENTS",
            parse=_at_least(MAX_BATCH_EVENTS, int),
            help="Events that may wait for the disk before producers get 503.",
        ),
    ] = 50_000
    queue_bytes: Annotated[
        int,
        Field(
            variable="AUDIT_STREAM_QUEUE_BYTES",
            parse=_at_least(2 * MAX_BATCH_BYTES, int),
            help="Bytes that may wait for the disk before producers get 503.",
        ),
    ] = 64 << 20
    buffer_bytes: Annotated[
        int,
        Field(
            variable="AUDIT_STREAM_BUFFER_BYTES",
            parse=_at_least(2 * MAX_BATCH_BYTES, int),
            help="Bytes of bodies and answers that may be under way before producers get 503.",
        ),
    ] = 128 << 20
    log_level: Annotated[
        str,
        Field(
            variable="AUDIT_STREAM_LOG_LEVEL",
            parse=_choice("debug", "info", "warning", "error"),
            help="The least severe log line to print: debug, info, warning or error.",
        ),
    ] = "info"
    log_format: Annotated[
        str,
        Field(
            variable="AUDIT_STREAM_LOG_FORMAT",
            parse=_choice("auto", "console", "json"),
            help="console, json, or auto: console on a terminal, JSON lines otherwise.",
        ),
    ] = "auto"


def _fields() -> Iterator[Field]:
    for each in msgspec.structs.fields(Settings):
        (field,) = each.type.__metadata__
        default = f"{each.default:g}" if isinstance(each.default, float) else each.default
        typed = str(default) if isinstance(default, str | int) else ""
        yield msgspec.structs.replace(field, name=each.name, key=field.key or each.name, default=typed)


FIELDS = tuple(_fields())
"""The settings in the order of `Settings`: what the flags, the reader below and the page follow."""


def load(flags: Mapping[str, str | None], environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings from all places. `flags` maps field names to texts, None where a flag was not given.

    An empty variable counts as not set. Raises SettingsError.
    """
    try:
        return _load(flags, environ)
    except RuntimeError:  # pathlib's, for a user without a home directory
        raise SettingsError(
            "there is no home directory to look for files in: name the database with --db, "
            f"and the settings file with {CONFIG_VARIABLE}={os.devnull} if there is none"
        ) from None


def _load(flags: Mapping[str, str | None], environ: Mapping[str, str]) -> Settings:
    file_path, in_file = _read_file(environ)
    values: dict[str, Any] = {}
    for field in FIELDS:
        flag, variable = flags.get(field.name), environ.get(field.variable, "")
        if flag is not None:
            values[field.name] = _parse(field, flag, field.flag)
        elif variable.strip():
            values[field.name] = _parse(field, variable.strip(), field.variable)
        elif field.name in in_file:
            values[field.name] = _parse(field, in_file[field.name], f"{field.key} in {file_path}")
    if "db_path" not in values:
        values["db_path"] = _default_db_path()
    return Settings(**values)


def _parse(field: Field, text: str, origin: str) -> Any:
    try:
        return field.parse(text)
    except ValueError as error:
        raise SettingsError(f"{origin}: {error}") from None


def _default_db_path() -> Path:
    from platformdirs import user_data_path  # only here: a daemon with --db starts without it

    return user_data_path("audit-stream", appauthor=False) / "audit.db"


def make_default_directory(path: Path) -> None:
    """Make the directory of the default database when `path` is that and it is missing; one that was typed is not made.

    Durable on return. Raises SettingsError.
    """
    if path.parent.exists() or path != _default_db_path():
        return
    from audit_daemon.store.schema import prepare_directory  # only here: a command that starts no store does without
    from audit_stream.logfile.errors import StoreUnusable

    try:
        prepare_directory(path)
    except StoreUnusable as error:
        raise SettingsError(f"{error}; name a database with --db") from None


def _read_file(environ: Mapping[str, str]) -> tuple[Path, dict[str, str]]:
    """The TOML file's settings as texts; a list becomes its items joined by commas."""
    named = environ.get(CONFIG_VARIABLE, "").strip()
    path = Path(named).expanduser() if named else _default_config_path(environ)
    if not named and not path.is_file():
        return path, {}
    import tomllib  # only here: it takes 10 ms, and most daemons have no file

    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{CONFIG_VARIABLE}: cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from None
    names = {field.key: field.name for field in FIELDS}
    texts = {}
    for key, value in content.items():
        if key not in names:
            raise SettingsError(f"{path}: {key!r} is no setting: use one of {', '.join(sorted(names))}")
        texts[names[key]] = ",".join(str(item) for item in value) if isinstance(value, list) else str(value)
    return path, texts


def _default_config_path(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_CONFIG_HOME", "").strip()
    return (Path(base) if base else Path("~/.config").expanduser()) / "audit-stream" / "config.toml"
