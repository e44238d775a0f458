"""The settings: what they mean, and that a mistake in them is named."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_tui.keymap import checked_keys
from audit_tui.storage.config import Config, ConfigError, Profile, load
from audit_tui.storage.paths import config_path, state_directory


def config(tmp_path: Path, text: str | bytes) -> Config:
    path = tmp_path / "tui.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load(path, checked_keys)


def refused(tmp_path: Path, text: str | bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        config(tmp_path, text)
    sentence = str(caught.value)
    assert sentence.isprintable()
    start = f"{tmp_path / 'tui.toml'}: "
    assert sentence.startswith(start)
    return sentence.removeprefix(start)


def test_without_a_file_or_with_an_empty_one_everything_is_default(tmp_path: Path) -> None:
    assert load(tmp_path / "none.toml", checked_keys) == config(tmp_path, "") == Config()


def test_everything_that_can_be_set(tmp_path: Path) -> None:
    text = """
        default_profile = "prod"
        theme = "textual-light"
        utc = true
        [profiles.prod]
        url = "http://10.0.0.5:8093"
        verify_every = 60
        [profiles.dev]
        url = "localhost:8093"
        [filters]
        denials = "kind:*denied severity:>=warning"
        [keys]
        find = "f, ctrl+f"
        help = "?,f1"
    """
    assert config(tmp_path, text) == Config(
        default_profile="prod",
        theme="textual-light",
        utc=True,
        profiles={"prod": Profile(url="http://10.0.0.5:8093", verify_every=60), "dev": Profile(url="localhost:8093")},
        filters={"denials": "kind:*denied severity:>=warning"},
        keys={"find": "f,ctrl+f", "help": "question_mark,f1"},
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('them = "x"', "them: there is no such setting: use one of default_profile, theme, utc"),
        ("utc = 1", "utc: expected true or false, got a whole number"),
        ("profiles = 3", "profiles: expected a table"),
        ("[profiles]\nprod = 3", "profiles.prod: expected a table"),
        ("[profiles.prod]", "profiles.prod.url: is missing"),
        ("[profiles.prod]\nurl = 3", "profiles.prod.url: expected text, got a whole number"),
        ('[profiles.prod]\nurl = "ftp://x"', "profiles.prod.url: write an address such as"),
        ('[profiles.prod]\nurl = "a b"', "profiles.prod.url: write an address such as"),
        ('[profiles.prod]\nurl = "http://[x"', "profiles.prod.url: write an address such as"),
        (
            '[profiles.prod]\nurl = "x"\nverify = 3',
            "profiles.prod.verify: there is no such setting: use one of url, ver",
        ),
        ('[profiles.prod]\nurl = "x"\nverify_every = -1', "profiles.prod.verify_every: expected a number > 0"),
        ('[profiles.prod]\nurl = "x"\nverify_every = nan', "profiles.prod.verify_every: "),
        ('[profiles.prod]\nurl = "x"\nverify_every = inf', "profiles.prod.verify_every: "),
        ('default_profile = "prod"', "default_profile: there is no profile 'prod': add [profiles.NAME]"),
        ("[filters]\nbad = 3", "filters.bad: expected text"),
        ('utc = true\ntheme = "x', "this is no TOML: "),
        ("utc = true\nutc = false\n", "this is no TOML: Cannot overwrite a value (at line 2, column 12)"),
        (b'theme = "a"\n\xff', "line 2 is not UTF-8"),
        ("[keys]\nfind = 3", "keys.find: expected text"),
        ('[keys]\nfnid = "f"', "keys.fnid: there is no such binding: use one of "),
        ('[keys]\nfind = ""', "keys.find: '' is no key"),
        ('[keys]\nfind = "f,,x"', "keys.find: '' is no key"),
        ('[keys]\nfind = "strg+f"', "keys.find: 'strg+f' is no key: write one such as"),
        ('[keys]\nfind = "ctrl+"', "keys.find: 'ctrl+' is no key"),
        ('[keys]\nfind = "no_such_key"', "keys.find: 'no_such_key' is no key"),
        ('[keys]\nfind = "escape"', "keys.find: 'escape' leaves fields and screens and cannot be remapped"),
        ('[keys]\nfind = "q"', "keys.find: 'q' is the key of quit already: choose another, or give quit another"),
        ('[keys]\nfind = "Z"\nnote = "Z"', "keys.note: 'Z' is the key of find already"),
        ('[keys]\nfind = "/"', "keys.find: 'slash' is the key of filter already"),
        ('[keys]\nfind = "shift+m"', "keys.find: 'M' is the key of note already"),
        ('[keys]\n"a\\u001b" = "f"', "keys.a\\x1b: there is no such binding"),
    ],
)
def test_a_mistake_is_named_with_its_field_and_what_to_do(tmp_path: Path, text: str | bytes, said: str) -> None:
    assert refused(tmp_path, text).startswith(said)


def test_a_file_that_cannot_be_settings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="settings are a short TOML file"):
        config(tmp_path, b"#" * (1 << 20) + b"\n")
    with pytest.raises(ConfigError, match=r"settings are a short TOML file|Is a directory"):
        load(tmp_path, checked_keys)
    with pytest.raises(ConfigError, match=r"nests too deeply|no TOML"):
        config(tmp_path, "theme = " + "[" * 50_000)


@settings(max_examples=80, deadline=None)
@given(
    st.binary(max_size=60)
    | st.lists(
        st.sampled_from(
            [
                "[keys]",
                "[profiles.a]",
                "[filters]",
                "\n",
                "find",
                " = ",
                '"f"',
                "url",
                '"http://x"',
                "3",
                "[[",
                "{",
                "utc",
            ]
        ),
        max_size=12,
    ).map(lambda words: "".join(words).encode())
)
def test_nothing_but_our_error_escapes(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    with contextlib.suppress(ConfigError):
        assert isinstance(config(tmp_path_factory.mktemp("config"), content), Config)


def test_paths_are_where_the_environment_says(tmp_path: Path) -> None:
    environ = {"AUDIT_TUI_CONFIG": str(tmp_path / "c.toml"), "AUDIT_TUI_STATE": str(tmp_path / "s")}
    assert config_path(environ) == tmp_path / "c.toml"
    assert state_directory(environ) == tmp_path / "s"


def test_paths_are_otherwise_the_users_own() -> None:
    assert config_path({}).parts[-2:] == ("audit-stream", "tui.toml")
    assert state_directory({}).parts[-2:] == ("audit-stream", "tui")
