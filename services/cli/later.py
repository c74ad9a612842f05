"""Commands that are imported only when one of them is typed: the list of all is read without importing any."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand

from services.cli import loading


class Later(TyperCommand):
    """A command, or a group of them, as `selaras --help` and the shell's completion see it: a name and a line.

    `where`: the module below `services.cli`, and in it the command's function or the group's `typer.Typer`.
    """

    def __init__(self, name: str, where: str, about: str) -> None:
        super().__init__(name, callback=None, help=about)
        self.where = where

    def load(self) -> Any:
        """The command itself."""
        module, _, name = self.where.partition(":")
        with loading():
            found = getattr(import_module(f"services.cli.{module}"), name)
        group = typer.Typer()
        if isinstance(found, typer.Typer):
            group.add_typer(found, name=self.name)
        else:
            group.callback()(lambda: None)  # a group of one command stays a group
            group.command(self.name)(found)
        return typer.main.get_group(group).commands[str(self.name)]

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """What the rest of the command line is about: from here on it is the command itself."""
        return self.load().make_context(*args, **kwargs)
