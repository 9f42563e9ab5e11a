"""Configurations are frozen dataclasses; this file turns plain dictionaries and YAML into them, strictly."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import yaml
from jsonargparse import ArgumentParser

from vab.errors import ConfigError

T = TypeVar("T")

MOST_DEPTH = 32
"""Of lists and mappings in a document."""
MOST_CHARACTERS = 1_000_000
"""In a document."""


class _Loader(yaml.CSafeLoader):
    """Dates stay text, as in JSON."""

    yaml_implicit_resolvers = {  # noqa: RUF012 PyYAML's own name for it
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }


def check_ranges(config: Any, **ranges: tuple[float, float]) -> None:
    """Refuse fields whose number lies outside of [lowest, highest], as NaN does, or any number of a list.

    None only where it is the default.

    Raises:
        ValueError: names the field, the range and the number.
    """
    optional = {field.name for field in dataclasses.fields(config) if field.default is None}
    for name, (lowest, highest) in ranges.items():
        value = getattr(config, name)
        if value is None and name in optional:
            continue
        for each in value if isinstance(value, list) else [value]:
            if each is None or not lowest <= each <= highest:
                raise ValueError(f"{name} must be in [{lowest:g}, {highest:g}], not {each}")


def load_yaml(text: str) -> Any:
    """Read YAML of bounded size and depth; an alias, by which a page can stand for gigabytes, is refused.

    Raises:
        yaml.YAMLError: says what is wrong.
    """
    if len(text) > MOST_CHARACTERS:
        raise yaml.YAMLError(f"more than {MOST_CHARACTERS} characters")
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MOST_DEPTH:
            raise yaml.YAMLError(f"more than {MOST_DEPTH} lists or mappings inside each other")
        if isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError(f"the alias *{event.anchor}; write out what it stands for")
    return yaml.load(text, Loader=_Loader)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        ConfigError: it cannot be read, or holds something else.
    """
    try:
        document = load_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read ({' '.join(str(error).split())[:500]})") from error
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: not a mapping of options to values")
    return document


def from_dict(cls: type[T], values: Mapping[str, Any], *, source: str) -> T:
    """Build a dataclass, possibly of dataclasses, from a nested dictionary; missing keys take the defaults.

    Keys and types are checked all the way down; ``source``, where the values came from, is named in the error.

    Raises:
        ConfigError: an unknown key, a missing value or a value of the wrong type.
    """
    _refuse_unknown(cls, values, source, "")
    parser = ArgumentParser(exit_on_error=False)  # it changes nested mappings in place
    parser.add_class_arguments(cls, "config", fail_untyped=True)
    try:
        return parser.instantiate(parser.parse_object({"config": deepcopy(dict(values))})).config
    except Exception as error:
        reason = " ".join(str(error).replace("config.", "").split())[:500]
        raise ConfigError(f"{source}: not a valid {cls.__name__}: {reason}") from error


def with_changes(config: T, changes: Mapping[str, Any], *, source: str) -> T:
    """A configuration with some fields changed by name; those that are None stay.

    Raises:
        ConfigError: no such field, which names those that there are, or a value of the wrong type.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    return from_dict(type(config), {**to_dict(config), **given}, source=source)


def _refuse_unknown(cls: Any, values: Mapping[str, Any], source: str, prefix: str) -> None:
    """Name every key that is no field, and the fields that there are; nested dataclasses too."""
    types = get_type_hints(cls)
    known = [field.name for field in dataclasses.fields(cls)]
    unknown = [f"{prefix}{key}" for key in values if key not in known]
    if unknown:
        where = f" of {prefix[:-1]}" if prefix else ""
        raise ConfigError(f"{source}: no option {', '.join(unknown)}; known{where}: {', '.join(known)}")
    for key, value in values.items():
        if dataclasses.is_dataclass(types[key]) and isinstance(value, Mapping):
            _refuse_unknown(types[key], value, source, f"{prefix}{key}.")


def to_dict(config: Any) -> dict[str, Any]:
    """The plain dictionary of a configuration, ready for JSON or YAML; ``from_dict`` undoes it."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        return str(value) if isinstance(value, Path) else value

    return plain(dataclasses.asdict(config))


def to_record(options: Any) -> dict[str, Any]:
    """What a result says of the options that led to it: not where things lay on somebody's disk, nor in how many goes.

    Places are the fields of paths, and the words that name or may name a file: ``init``, ``weights``,
    ``codec_weights``.
    """
    fields = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
    left_out = {"init", "weights", "codec_weights", "resume"} | {
        name
        for name, value in fields.items()
        if isinstance(value, Path)
        or (isinstance(value, list) and value and all(isinstance(item, Path) for item in value))
    }
    return {name: value for name, value in to_dict(options).items() if name not in left_out}
