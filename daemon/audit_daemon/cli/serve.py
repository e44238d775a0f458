"""`audit-stream [serve]`: the daemon. Its flags are made from `settings.FIELDS`, as `start.read_flags` reads them."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

from cyclopts import Parameter

from audit_daemon.cli.start import start
from audit_daemon.settings import FIELDS, Field

__all__ = ["Flags", "serve"]


def _flag(field: Field) -> tuple[str, Any, None]:
    default = f"; default {field.default}" if field.default else ""
    help_text = f"{field.help} [{field.variable}{default}]"
    return field.name, Annotated[str | None, Parameter(name=field.flag, help=help_text)], None


# cyclopts takes a class of the module "types", make_dataclass's own, for a builtin.
Flags = dataclasses.make_dataclass(
    "Flags", [_flag(field) for field in FIELDS], kw_only=True, namespace={"__module__": __name__}
)

_NO_FLAGS = Flags()


def serve(flags: Annotated[Flags, Parameter(name="*")] = _NO_FLAGS) -> int:  # type: ignore[valid-type]  # made above
    """Start the daemon and run until it is told to stop (SIGINT, SIGTERM).

    A setting comes from its flag, or else its environment variable, or else the TOML file that AUDIT_STREAM_CONFIG
    names (by default `~/.config/audit-stream/config.toml`).

    ```
    audit-stream
    audit-stream --port 9000 --db /var/lib/audit-stream/audit.db
    audit-stream serve --host 0.0.0.0 --anonymous append@10.20.0.0/16,read@10.20.0.7/32
    ```
    """
    given = {name: value for name, value in dataclasses.asdict(flags).items() if value is not None}
    return start(given)
