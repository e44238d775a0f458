"""Settings: where they come from, which place wins, and what is said of a bad one."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

import pytest

from audit_daemon.access import Grant
from audit_daemon.settings import CONFIG_VARIABLE, FIELDS, Field, Settings, SettingsError, load
from audit_stream.kinds import DEFAULT_KINDS, Severity

NOWHERE = {CONFIG_VARIABLE: "/dev/null"}

GOOD: dict[str, tuple[str, Any]] = {
    "host": ("0.0.0.0", "0.0.0.0"),
    "port": ("9000", 9000),
    "db_path": ("/var/lib/audit.db", Path("/var/lib/audit.db")),
    "cors_origins": (
        "https://a.example, HTTP://localhost:5173/",
        frozenset({"https://a.example", "http://localhost:5173"}),
    ),
    "anonymous": ("read@10.0.0.0/8", (Grant(right="read", network=ipaddress.ip_network("10.0.0.0/8")),)),
    "verify_interval_s": ("0.5", 0.5),
    "idempotency_ttl_s": ("60", 60.0),
    "queue_events": ("10000", 10_000),
    "queue_bytes": ("33554432", 32 << 20),
    "buffer_bytes": ("33554432", 32 << 20),
    "log_level": ("WARNING", "warning"),
    "log_format": ("json", "json"),
}

BAD = {
    "host": ["", "  "],
    "port": ["", "-1", "65536", "http", "80.0", "٨٠", "9" * 5000],
    "cors_origins": [
        "a.example",
        "https://",
        "https://a.example/path",
        "://a",
        "null",
    ],
    "kinds": ["Loud", "a b", "quota:loud", "9lives", "a" * 65],
    "anonymous": ["everyone", "read@everyone", "write@10.0.0.0/8", "read@10.0.0.1/8"],
    "verify_interval_s": ["-1", "nan", "inf", "soon", "1e999"],
    "idempotency_ttl_s": ["0", "-5", "nan", "1 day"],
    "queue_events": ["0", "9999", "1e6", "many"],
    "queue_bytes": ["1", "64 MiB", "-33554432"],
    "buffer_bytes": ["16777216", "128 MB", "0"],
    "log_level": ["loud", "critical!"],
    "log_format": ["xml"],
}

BAD_ITEMS = [(name, text) for name, texts in BAD.items() for text in texts]


def write(tmp_path: Path, content: str) -> dict[str, str]:
    """A configuration file, and the environment that names it."""
    path = tmp_path / "audit.toml"
    path.write_text(content, encoding="utf-8")
    return {CONFIG_VARIABLE: str(path)}


def field_of(name: str) -> Any:
    return next(field for field in FIELDS if field.name == name)


def test_without_any_setting_the_daemon_binds_loopback_and_grants_nothing() -> None:
    settings = load({}, NOWHERE)
    assert (settings.host, settings.port) == ("127.0.0.1", 8093)
    assert settings.anonymous == ()
    assert settings.cors_origins == frozenset()
    assert settings.kinds is DEFAULT_KINDS
    assert settings.db_path.parts[-2:] == ("audit-stream", "audit.db")


def test_every_setting_has_a_field_and_every_field_is_a_setting() -> None:
    assert {field.name for field in FIELDS} == set(Settings.__struct_fields__)
    assert {*GOOD, "kinds"} == {field.name for field in FIELDS}


def test_names_of_fields_flags_and_variables_are_unique() -> None:
    for names in ([field.key for field in FIELDS], [field.flag for field in FIELDS], [f.variable for f in FIELDS]):
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_the_default_that_is_told_is_the_one_that_applies(field: Any) -> None:
    if field.default:
        assert field.parse(field.default) == getattr(load({}, NOWHERE), field.name)


@pytest.mark.parametrize("name", GOOD)
def test_a_flag_is_read(name: str) -> None:
    text, value = GOOD[name]
    assert getattr(load({name: text}, NOWHERE), name) == value


@pytest.mark.parametrize("name", GOOD)
def test_a_variable_is_read(name: str) -> None:
    text, value = GOOD[name]
    assert getattr(load({}, NOWHERE | {field_of(name).variable: f" {text} "}), name) == value


@pytest.mark.parametrize("name", GOOD)
def test_a_file_is_read(name: str, tmp_path: Path) -> None:
    text, value = GOOD[name]
    assert getattr(load({}, write(tmp_path, f'{field_of(name).key} = "{text}"\n')), name) == value


def test_a_file_may_use_the_types_of_toml(tmp_path: Path) -> None:
    settings = load(
        {},
        write(
            tmp_path,
            """
            port = 9000
            verify_interval_s = 1.5
            queue_events = 20_000
            cors_origins = ["https://a.example", "https://b.example"]
            anonymous = ["append@10.20.0.0/16", "read@10.20.0.7/32"]
            extra_kinds = ["quota_exceeded:warning", "quota.reset"]
            """,
        ),
    )
    assert (settings.port, settings.verify_interval_s, settings.queue_events) == (9000, 1.5, 20_000)
    assert settings.cors_origins == {"https://a.example", "https://b.example"}
    assert [grant.right for grant in settings.anonymous] == ["append", "read"]
    assert settings.kinds.severity("quota_exceeded") is Severity.WARNING
    assert "quota.reset" in settings.kinds


def test_a_flag_wins_over_a_variable_and_a_variable_over_the_file(tmp_path: Path) -> None:
    environ = write(tmp_path, "port = 1\nhost = '10.0.0.1'\nlog_level = 'error'\n")
    environ |= {"PORT": "2", "HOST": "10.0.0.2"}
    settings = load({"port": "3", "host": None}, environ)
    assert (settings.port, settings.host, settings.log_level) == (3, "10.0.0.2", "error")


def test_an_empty_variable_counts_as_not_set(tmp_path: Path) -> None:
    assert load({}, write(tmp_path, "port = 1\n") | {"PORT": " "}).port == 1


def test_extra_kinds_add_to_the_built_in_ones() -> None:
    kinds = load({}, NOWHERE | {"AUDIT_STREAM_EXTRA_KINDS": "quota_exceeded:critical, token.access_denied"}).kinds
    assert len(kinds) == len(DEFAULT_KINDS) + 2
    assert kinds.severity("quota_exceeded") is Severity.CRITICAL


def test_a_home_directory_is_expanded() -> None:
    assert load({"db_path": "~/audit.db"}, NOWHERE).db_path == Path.home() / "audit.db"


@pytest.mark.parametrize(("name", "text"), BAD_ITEMS)
def test_a_bad_flag_is_refused_by_its_name(name: str, text: str) -> None:
    flag = field_of(name).flag
    with pytest.raises(SettingsError, match=f"^{flag}: .+"):
        load({name: text}, NOWHERE)


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, text in BAD_ITEMS if text.strip()])
def test_a_bad_variable_is_refused_by_its_name(name: str, text: str) -> None:
    variable = field_of(name).variable
    with pytest.raises(SettingsError, match=f"^{variable}: .+"):
        load({}, NOWHERE | {variable: text})


@pytest.mark.parametrize(("name", "text"), BAD_ITEMS)
def test_a_bad_line_of_the_file_is_refused_by_its_name_and_the_files(name: str, text: str, tmp_path: Path) -> None:
    environ = write(tmp_path, f'{field_of(name).key} = "{text}"\n')
    with pytest.raises(SettingsError) as raised:
        load({}, environ)
    assert str(raised.value).startswith(f"{field_of(name).key} in {environ[CONFIG_VARIABLE]}: ")


@pytest.mark.parametrize("content", ["port = true", "port = 1.5", "port = {}", "[port]\nnumber = 1", "port = [1, 2]"])
def test_a_value_of_another_type_is_refused(content: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^port in .*audit\.toml: use a port number"):
        load({}, write(tmp_path, content))


def test_a_variable_that_wins_is_read_even_if_the_file_is_bad_there(tmp_path: Path) -> None:
    assert load({"port": "1"}, write(tmp_path, "port = 'x'\n")).port == 1


@pytest.mark.parametrize("key", ["prot", "db_path", "kinds", "audit_stream"])
def test_an_unknown_name_in_the_file_is_refused_with_the_known_ones(key: str, tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError, match=f"audit.toml: '{key}' is no setting: use one of anonymous, buffer_bytes, cors_origins"
    ):
        load({}, write(tmp_path, f"{key} = 1\n"))


def test_a_file_that_is_no_toml_is_refused_with_the_place(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"audit\.toml: .*line 2"):
        load({}, write(tmp_path, "port = 1\nhost\n"))


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "audit.toml"
    path.write_bytes(b"host = '\xff'\n")
    with pytest.raises(SettingsError, match=r"audit\.toml: "):
        load({}, {CONFIG_VARIABLE: str(path)})


def test_a_named_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=rf"^{CONFIG_VARIABLE}: cannot read .*missing\.toml: No such file"):
        load({}, {CONFIG_VARIABLE: str(tmp_path / "missing.toml")})


def test_a_file_in_the_users_configuration_is_found_without_being_named(tmp_path: Path) -> None:
    directory = tmp_path / "audit-stream"
    directory.mkdir()
    (directory / "config.toml").write_text("port = 9001\n")
    assert load({}, {"XDG_CONFIG_HOME": str(tmp_path)}).port == 9001


def test_without_a_file_in_the_users_configuration_there_are_the_defaults(tmp_path: Path) -> None:
    assert load({}, {"XDG_CONFIG_HOME": str(tmp_path)}).port == 8093


def test_a_user_without_a_home_directory_is_told_what_to_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", _no_such_user)
    with pytest.raises(SettingsError, match=f"no home directory.*--db.*{CONFIG_VARIABLE}"):
        load({}, {})
    assert load({"db_path": "/srv/audit.db"}, NOWHERE).db_path == Path("/srv/audit.db")


def _no_such_user(uid: int) -> None:
    raise KeyError(uid)


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
@pytest.mark.parametrize("text", ["x y", "x:y", "read@x", "-1", "NaN", "\ud800", "a" * 200])
def test_a_value_that_cannot_be_used_is_said_with_its_origin_once(field: Field, text: str) -> None:
    for flags, environ, origin in (
        ({field.name: text}, NOWHERE, field.flag),
        ({}, {**NOWHERE, field.variable: text}, field.variable),
    ):
        said = f"{origin}: "
        try:
            load(flags, environ)
        except SettingsError as error:
            said = str(error)
        assert said.startswith(f"{origin}: ")
        assert (said.count(origin), said.count(field.variable)) == (1, origin == field.variable)
