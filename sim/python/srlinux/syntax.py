"""Stand-in for srlinux.syntax: the arguments of a command."""

from __future__ import annotations

from typing import Any

REQUIRED = object()


class Syntax:
    """A command's name, help and arguments."""

    def __init__(self, name: str, help: str = "", short_help: str = "", help_epilogue: str = "") -> None:
        self.name = name
        self.help = help
        self.unnamed: list[tuple[str, Any]] = []
        self.named: dict[str, Any] = {}
        self.booleans: list[str] = []
        self.suggestions: dict[str, Any] = {}
        self.helps: dict[str, str] = {}

    def add_unnamed_argument(
        self, name: str, default: Any = REQUIRED, suggestions: Any = None, help: str = ""
    ) -> "Syntax":
        """Adds an argument that is a value without a name."""
        self._declare(name, suggestions, help)
        self.unnamed.append((name, default))
        return self

    def add_named_argument(
        self, name: str, default: Any = REQUIRED, suggestions: Any = None, help: str = ""
    ) -> "Syntax":
        """Adds an argument that is a value after a name."""
        self._declare(name, suggestions, help)
        self.named[name] = default
        return self

    def add_boolean_argument(self, name: str, help: str = "") -> "Syntax":
        """Adds an argument that is a word without a value."""
        self._declare(name, None, help)
        self.booleans.append(name)
        return self

    def _declare(self, name: str, suggestions: Any, help: str) -> None:
        if name in self.suggestions:
            raise ValueError(f"argument '{name}' is declared twice")
        self.suggestions[name] = suggestions
        self.helps[name] = help
