"""Asking where to, and writing what passes the filter there."""

from __future__ import annotations

import time
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, ProgressBar, Static
from textual.worker import Worker, WorkerState

from audit_stream.client import Selection
from audit_stream.display import counted, safe
from audit_stream.errors import ClientError
from audit_stream.paths import typed_path
from audit_tui.log import Log
from audit_tui.model.exporting import ExportError, FileExists, export, format_of
from audit_tui.screens.closing import Dialog
from audit_tui.widgets.said import Said

__all__ = ["ExportScreen"]

_HINT = "a name that ends in .jsonl or .csv; Enter writes it"


class ExportScreen(Dialog[Path | None]):
    """Exports `selection` of a log; `description` is what people call it.

    The result is the file that was written, None when there is none. While it is being written, Escape cancels, which
    leaves nothing behind.
    """

    DEFAULT_CSS = """
    ExportScreen > Vertical { width: 76; }
    ExportScreen #what { max-height: 3; }
    ExportScreen ProgressBar { display: none; width: 100%; }
    ExportScreen ProgressBar Bar { width: 1fr; }
    ExportScreen.-writing ProgressBar { display: block; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Close")]

    def __init__(self, log: Log, selection: Selection, description: str) -> None:
        super().__init__()
        self._log = log
        self._selection = selection
        self._description = description
        self._replace: Path | None = None
        self._worker: Worker[None] | None = None
        self._written: Path | None = None

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = "Export"
            yield Static(f"Events: {safe(self._description)}", id="what", markup=False)
            yield Input(
                time.strftime("./audit-stream-%Y%m%d-%H%M%S.jsonl"),
                placeholder="file",
                select_on_focus=False,
                compact=True,
            )
            yield ProgressBar(total=1)
            yield Said(_HINT)

    def on_input_changed(self) -> None:
        """Another name: what was said of the one before does not hold for it."""
        if self._worker is None and self._written is None:
            self._replace = None
            self.say(_HINT)

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Write it, if it can be; close, once it is."""
        if self._written is not None:
            self.dismiss(self._written)
        elif self._worker is None and message.value.strip():
            self._begin_at(message.value.strip())

    def action_leave(self) -> None:
        if self._worker is None:
            self.dismiss(self._written)
        else:
            self._worker.cancel()

    def on_worker_state_changed(self, message: Worker.StateChanged) -> None:
        """Once it has ended, one way or another, it has tidied up."""
        if message.worker is not self._worker or not message.worker.is_finished:
            return
        self._worker = None
        self._show_writing(False)
        if message.state is WorkerState.CANCELLED:
            self.dismiss(None)

    def _begin_at(self, name: str) -> None:
        path = typed_path(name)
        if not name.isprintable():
            self.say("✗ the name holds a character that cannot be shown", is_error=True)
        elif format_of(path) is None:
            self.say("✗ the name must end in .jsonl or .csv", is_error=True)
        else:
            self._begin(path)

    def _begin(self, path: Path) -> None:
        self.say("writing; Escape cancels")
        self._show_writing(True)
        self.query_one(ProgressBar).update(total=1, progress=0)
        self._worker = self.run_worker(self._write(path, overwrite=path == self._replace), group="export")

    async def _write(self, path: Path, *, overwrite: bool) -> None:
        format_ = format_of(path)
        assert format_ is not None
        try:
            count = await export(self._log, self._selection, path, format_, self._progress, overwrite=overwrite)
        except FileExists as error:
            self._replace = path
            self.say(f"✗ {error}: Enter once more replaces it", is_error=True)
        except (ClientError, ExportError) as error:
            self.say(f"✗ {safe(str(error))}", is_error=True)
        else:
            self._written = path
            self.say(f"✓ {counted(count, 'event')} in {safe(str(path))}; Enter closes")

    def _progress(self, reached: int, last: int, count: int) -> None:
        self.query_one(ProgressBar).update(total=max(last, 1), progress=reached)
        self.say(f"{count:,} events, #{reached:,} of #{last:,}; Escape cancels")

    def _show_writing(self, writing: bool) -> None:
        self.set_class(writing, "-writing")
        self.query_one(Input).disabled = writing
        if not writing:
            self.query_one(Input).focus()
