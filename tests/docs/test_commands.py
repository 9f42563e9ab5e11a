"""Every command that the documents show is one that the command line takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tasks import cli

ROOT = Path(__file__).parents[2]
PAGES = [
    "README.md",
    "docs/training.md",
    "docs/scaling.md",
    "docs/layouts.md",
    "docs/studio.md",
    "docs/results/template.md",
    "CONTRIBUTING.md",
]


def shown(page: str) -> list[str]:
    """What follows ``vab`` in code blocks and between backticks, a line that ends in a backslash joined to the next."""
    text = (ROOT / page).read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = re.findall(r"```\n(.*?)```", text, flags=re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    lines += re.findall(r"`(vab [^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    found = (re.match(r"(?:.*&& )?(?:\$ )?vab (.*)", line) for line in lines)
    return [match[1] for match in found if match]


@pytest.mark.parametrize(("page", "command"), [(page, command) for page in PAGES for command in shown(page)])
def test_the_command_is_taken(page: str, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    words = shlex.split(command, comments=True)
    name, rest = cli._split(words)
    assert (
        name in cli.COMMANDS
        or name in ("COMMAND", "--help")
        or any(each.startswith(f"{name} ") for each in cli.COMMANDS)
    )
    if len(rest) > 0 and name in cli.COMMANDS and "--help" not in rest and "..." not in rest:
        cli.make_parser(name).parse_args(rest)


def test_the_documents_show_commands() -> None:
    assert len(shown("README.md")) > 10
    assert len(shown("docs/training.md")) > 10


def test_links_lead_somewhere() -> None:
    for page in [
        "README.md",
        "CONTRIBUTING.md",
        *(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md")),
    ]:
        text = (ROOT / page).read_text(encoding="utf-8")
        for link in re.findall(r"\]\(([^)#]+)\)", text):
            assert link.startswith("http") or ((ROOT / page).parent / link).exists(), f"{page}: {link}"
