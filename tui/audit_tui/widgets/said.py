"""What a screen says below a line that one types in."""

from __future__ import annotations

from textual.widgets import Static

__all__ = ["Said"]


class Said(Static):
    """A hint, what was done, or what is wrong. Texts must be safe to show."""

    DEFAULT_CSS = """
    Said { height: auto; color: $text-muted; }
    Said.-error { color: $text-error; }
    """

    def __init__(self, text: str) -> None:
        super().__init__(text, id="said", markup=False)

    def say(self, text: str, *, is_error: bool = False) -> None:
        """Say something else."""
        self.set_class(is_error, "-error")
        self.update(text)
