"""The command line: help that teaches, mistakes in one line, every shipped configuration."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path

import pytest
import yaml
from rich.console import Console

import vab
from tasks import cli
from tasks.console import progress_bar, tell_limits
from tasks.demo.options import SweepOptions
from tasks.options import Parser, add_options, build
from tasks.pretraining.options import PretrainOptions
from vab.config import from_dict
from vab.errors import ConfigError
from vab.models import find_model

CONFIGS = sorted(
    path
    for folder in ("vab", "coarse_to_fine", "tiva", "maskvat", "scav")
    for path in (Path(__file__).parents[2] / "configs" / folder).glob("*.yaml")
)


def test_overview_names_every_command_under_its_heading(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text for name in cli.COMMANDS)
    places = [text.index(f"\n{group}:\n") for group in ("use", "train", "evaluate", "demo")]
    assert places == sorted(places)


@pytest.mark.parametrize("family", ["index", "evaluate", "bench"])
@pytest.mark.parametrize("more", [[], ["--help"]])
def test_a_family_lists_its_commands(
    family: str, more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([family, *more]) == 0
    text = capsys.readouterr().out
    assert all((name in text) == name.startswith(family) for name in cli.COMMANDS if " " in name)
    assert cli.main([family, "nothing"]) == 2
    assert f"no command '{family} nothing'" in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_help_explains_every_option_and_has_a_valid_example(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    with pytest.raises(SystemExit) as stop:
        cli.main([*name.split(), "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    example = cli.COMMANDS[name].example
    assert f"example:\n  vab {example}" in text
    assert "Literal" not in text and "null" not in text
    for field in dataclasses.fields(cli.COMMANDS[name].options):
        assert field.name.rstrip("_").replace("_", "-") in text.replace("_", "-")
    monkeypatch.chdir(Path(__file__).parents[2])
    words = shlex.split(example)
    assert words[: len(name.split())] == name.split()
    cli.make_parser(name).parse_args(words[len(name.split()) :])


def test_choices_are_shown_as_they_are_typed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["generate", "--help"])
    assert "--select {consensus,agreement,synchrony,scav}" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main(["generate", "x.mp4", "--select", "loudest"])
    err = capsys.readouterr().err
    assert "{consensus,agreement,synchrony,scav}" in err and "Literal" not in err
    assert err.count("\n") == 1


def test_an_unknown_command_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["generat"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    [
        "generate clip.mp4 --num-samples 0",
        "generate clip.mp4 --batch-size 0",
        "evaluate sweep --best-of 0",
        "evaluate sweep --best-of 1 0",
        "evaluate sweep --steps 0",
        "evaluate sweep --clips 0",
        "evaluate tokens --store store --batch-size 0",
        "evaluate retrieval --store store --batch-size 0",
        "evaluate refinement --store store --batch-size 0",
        "evaluate refinement --store store --steps 24 0",
        "evaluate listening --systems a=a b=b --num-clips 0",
        "evaluate codec --clips 0",
        "evaluate codec --num-codebooks 4 0",
        "evaluate codec --num-tones 0",
        "bench decoding --config config.yaml --batch-size 0",
        "bench decoding --config config.yaml --layers 0",
        "bench index --sizes 0",
        "bench index --num-queries 0",
    ],
)
def test_a_count_of_zero_is_one_line(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(command.split()) == 2
    err = capsys.readouterr().err
    assert "must be" in err and "not 0" in err and err.count("\n") == 1


def test_an_unknown_option_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["generate", "x.mp4", "--stepz", "3"])
    assert stop.value.code == 2
    assert "stepz" in capsys.readouterr().err


def test_a_missing_file_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["generate", str(tmp_path / "no.mp4"), "-o", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "no.mp4" in err
    assert "Traceback" not in err


def test_a_file_whose_name_starts_with_a_dash_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("-clip.mp4").touch()
    assert cli._as_file("-clip.mp4") == "./-clip.mp4"
    assert cli._as_file("--steps") == "--steps"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_configuration_is_valid_and_says_its_command(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("# ")
    assert "vab " in text.split("\ntraining:")[0]
    values = {**yaml.safe_load(text), "store": ["store"], "out": "out"}
    options = from_dict(PretrainOptions, values, source=str(path))
    folder = find_model(options.type)
    assert folder.objective_options is not None
    config = from_dict(folder.config, options.model, source=str(path))
    from_dict(folder.objective_options, options.objective, source=str(path))
    if folder.sampling is not None:
        from_dict(folder.sampling, options.sampling, source=str(path))
    if path.parent.name == "vab":
        assert options.type == "vab" and (config.num_codebooks, config.num_given_codebooks) == (4, 0)
    if path.parent.name == "maskvat":
        assert options.type == "maskvat" and config.network in path.stem
    if path.parent.name == "coarse_to_fine":
        assert options.type == "vab-refiner"
        assert (config.num_given_codebooks, config.num_predicted_codebooks) == (4, 8)


def test_a_configuration_with_an_unknown_key_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"no option training\.max_stepz; known of training: max_steps, batch_size"
    ):
        values = {"store": ["s"], "out": "o", "training": {"max_stepz": 1}}
        from_dict(PretrainOptions, values, source="x.yaml")


def test_without_a_terminal_progress_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tasks.console.errors", Console(stderr=True, force_terminal=False))
    with progress_bar("clips") as progress:
        task = progress.add_task("generating", total=4)
        progress.advance(task)
        monkeypatch.setattr("tasks.console.SECONDS_BETWEEN_LINES", 0.0)
        progress.advance(task)
        progress.update(task, completed=3)
        progress.advance(task, 0.6222)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "generating: 2 of 4 clips (50 %)",
        "generating: 3 of 4 clips (75 %)",
        "generating: 3 of 4 clips (91 %)",
    ]


def test_bundled_weights_say_what_they_know(capsys: pytest.CaptureFixture[str]) -> None:
    tell_limits(vab.load("demo-search", device="cpu"))
    assert "rendered world" in capsys.readouterr().err


def test_a_list_may_be_given_empty_where_that_means_none(capsys: pytest.CaptureFixture[str]) -> None:
    parser = Parser(prog="vab")
    add_options(parser, SweepOptions)
    sweep = build(SweepOptions, parser.parse_args(["--steps", "--best-of", "1", "3", "--cfg-scale"]))
    assert (sweep.steps, sweep.best_of, sweep.cfg_scale) == ([], [1, 3], [])
    assert sweep.temperature == SweepOptions().temperature
    with pytest.raises(SystemExit):
        cli.main(["evaluate", "generation", "--metrics"])
    assert "expected at least one argument" in capsys.readouterr().err
