"""What options of several commands are read with."""

from typing import Any

import click

__all__ = ["headers", "variables"]


def headers(context: click.Context, parameter: click.Parameter, value: Any) -> dict[str, str]:
    """Read an option that may be repeated, each time as 'Name: value'."""
    found = {}
    for text in value:
        name, colon, content = text.partition(":")
        if not colon or not name.strip():
            raise click.BadParameter(f"{text!r} is not 'Name: value'")
        found[name.strip()] = content.strip()
    return found


def variables(context: click.Context, parameter: click.Parameter, value: Any) -> dict[str, str]:
    """Read an option that may be repeated, each time as NAME=VALUE."""
    found = {}
    for text in value:
        name, equals, content = text.partition("=")
        if not equals or not name.strip():
            raise click.BadParameter("expected NAME=VALUE")
        found[name.strip()] = content
    return found
