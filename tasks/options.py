"""Command-line arguments from a dataclass: one field, one argument, its docstring the help."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import re
import shlex
import sys
import textwrap
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from docstring_parser import parse_from_object
from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace

from vab.config import from_dict, read_yaml

T = TypeVar("T")


MOST_SHOWN = 2000
"""Characters of an error: it may quote what a file holds."""


class Parser(ArgumentParser):
    """Mistakes in one line."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print the line and exit with 2."""
        message = re.sub(r"<class '(\w+)'>", r"\1", " ".join(message.split()))[:MOST_SHOWN]
        message = re.sub(
            r"\(choose from '(.*)'\)", lambda found: "{" + found[1].replace("', '", ",") + "}", message
        )
        print(f"{self.prog}: {message}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(2) from ex


class HelpFormatter(DefaultHelpFormatter):
    """Help as it was written, with the default where there is one."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text = (action.help or "").replace("%", "%%")
        if action.default in (None, [], argparse.SUPPRESS, True, False):
            return text
        default = action.default
        shown = " ".join(map(str, default)) if isinstance(default, list) else str(default)
        return f"{text} (default: {shown})".replace("%%%%", "%%")

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Paragraphs are filled; indented lines stay."""
        parts = [part if "\n  " in part else textwrap.fill(part, width) for part in text.split("\n\n")]
        return "\n\n".join(parts)


def positional(**kwargs: Any) -> Any:
    """A field that is given without a name, such as the files to work on."""
    return dataclasses.field(metadata={"positional": True}, **kwargs)


def short(letter: str, **kwargs: Any) -> Any:
    """A field that also has a one-letter name, such as ``-o``."""
    return dataclasses.field(metadata={"short": f"-{letter}"}, **kwargs)


def any_number(default: list[Any]) -> Any:
    """A field with a list that may be given empty: ``--steps`` alone is none."""
    return dataclasses.field(metadata={"nargs": "*"}, default_factory=lambda: list(default))


def add_options(parser: ArgumentParser, options: type[Any]) -> None:
    """Give a parser one argument for each field of a dataclass; ``num_samples`` becomes ``--num-samples``.

    A field may end in ``_`` where its name is a word of Python: ``in_`` becomes ``--in``.
    """
    types = typing.get_type_hints(options)
    texts = {param.arg_name: param.description for param in parse_from_object(options).params}
    for field in dataclasses.fields(options):
        keywords: dict[str, Any] = {"type": types[field.name], "help": texts.get(field.name) or ""}
        if (default := _default(field)) is not dataclasses.MISSING:
            keywords["default"] = default
        choices = _choices(types[field.name])
        if choices:
            keywords |= {"type": str, "choices": choices}
        elif typing.get_origin(types[field.name]) is not dict and (
            inner := [each for each in typing.get_args(types[field.name]) if each is not type(None)]
        ):
            keywords["type"] = inner[0]  # of a list, or of a value that may be left out
        if field.metadata.get("positional"):
            parser.add_argument(field.name, nargs="*" if "default" in keywords else "+", **keywords)
        elif types[field.name] is bool:
            parser.add_argument(_flag(field.name), action="store_true", help=keywords["help"])
        else:
            if typing.get_origin(types[field.name]) is list:
                keywords["nargs"] = field.metadata.get("nargs", "+")
            if "default" not in keywords:
                keywords["required"] = True
            names = [field.metadata["short"]] if "short" in field.metadata else []
            parser.add_argument(*names, _flag(field.name), **keywords)


def build(options: type[T], parsed: Namespace) -> T:
    """The dataclass with what was parsed."""
    fields = dataclasses.fields(options)  # type: ignore[arg-type]
    return options(**{field.name: getattr(parsed, field.name.rstrip("_")) for field in fields})


def output_paths(options: Any) -> list[Path]:
    """Where a command writes: its ``-o``, if it is given."""
    outputs = [field.name for field in dataclasses.fields(options) if field.metadata.get("short") == "-o"]
    return [path for name in outputs if (path := getattr(options, name)) is not None]


def input_paths(options: Any) -> Iterator[Path]:
    """What a command may read: every other value that could be the name of a file, and the values of lists."""
    for field in dataclasses.fields(options):
        if field.metadata.get("short") != "-o":
            value = getattr(options, field.name)
            values = value if isinstance(value, list) else [value]
            yield from (Path(each) for each in values if isinstance(each, str | Path))


def _choices(hint: Any) -> tuple[Any, ...]:
    """The values of a Literal, of several of them, or of one that may be left out; empty for other types."""
    if typing.get_origin(hint) is typing.Literal:
        return typing.get_args(hint)
    inner = [each for each in typing.get_args(hint) if each is not type(None)]
    return _choices(inner[0]) if len(inner) == 1 else ()


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default_factory() if callable(field.default_factory) else field.default


def _flag(name: str) -> str:
    return "--" + name.rstrip("_").replace("_", "-")


def command_line(command: str, options: Any) -> str:
    """The words that give a command these options; those at their defaults are left out."""
    given, named = ["vab", *command.split()], []
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if field.metadata.get("positional"):
            given += map(str, value)
        else:
            named += _words(field, value)
    return shlex.join([*given, *named])


def read_options(options: type[T], config: Path, *given: Mapping[str, Any]) -> T:
    """The options of a command from one of its configurations, as ``--config`` reads it.

    Args:
        options: dataclass of the command.
        config: YAML file.
        given: nested options that override those of the file, and those before them.

    Raises:
        ConfigError: the file has an option that the command has not, or a value of the wrong type.
    """
    values = read_yaml(config)
    return from_dict(options, functools.reduce(_merged, given, values), source=str(config))


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    nested = {
        name: _merged(first[name], value)
        for name, value in second.items()
        if isinstance(value, Mapping) and isinstance(first.get(name), Mapping)
    }
    return {**first, **second, **nested}


def _words(field: dataclasses.Field[Any], value: Any, prefix: str = "") -> list[str]:
    if dataclasses.is_dataclass(value):
        return [
            word
            for inner in dataclasses.fields(value)
            for word in _words(inner, getattr(value, inner.name), f"{prefix}{field.name}.")
        ]
    if value is None or value == _default(field):
        return []
    name = f"--{prefix}{field.name}" if prefix else _flag(field.name)
    if value is True and not prefix:
        return [name]
    if isinstance(value, Mapping):
        return [word for key, item in value.items() for word in (f"{name}.{key}", json.dumps(item))]
    return [name, *map(str, value if isinstance(value, list | tuple) else [value])]
