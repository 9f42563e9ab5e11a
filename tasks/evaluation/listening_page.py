"""The page of a listening test: media inside, answers kept in the browser and saved as CSV, nothing sent anywhere.

No package: webMUSHRA and BeaqleJS are folders of scripts and media to host, this is one file to send.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape

from vab.pictures import html_page

_PREFERENCES = {
    -2: "left, clearly",
    -1: "left, slightly",
    0: "no difference",
    1: "right, slightly",
    2: "right, clearly",
}
_RATINGS = {1: "bad", 2: "poor", 3: "fair", 4: "good", 5: "excellent"}

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
section { border-top: 1px solid #ddd; padding: 1rem 0 } .media { display: flex; gap: 1rem }
.media > * { flex: 1; min-width: 0; width: 100%; max-height: 24rem; background: #000 }
fieldset { border: 0; padding: 0; margin: .6rem 0 } label { display: inline-block; margin-right: 1rem }
.bar { position: sticky; top: 0; background: #fff; padding: .5rem 0; z-index: 1 }
"""
_SCRIPT = """
const store = "listening-" + test;
const listener = document.querySelector("#listener");
const answers = JSON.parse(localStorage.getItem(store) || "{}");
const total = document.querySelectorAll("fieldset").length;
function show() {
  document.querySelector("#done").textContent = Object.keys(answers).length + " of " + total + " answered";
}
for (const input of document.querySelectorAll("input[type=radio]")) {
  input.checked = answers[input.name] === input.value;
  input.addEventListener("change", () => {
    answers[input.name] = input.value;
    localStorage.setItem(store, JSON.stringify(answers));
    show();
  });
}
for (const player of document.querySelectorAll("video, audio"))
  player.addEventListener("play", () => {
    for (const other of document.querySelectorAll("video, audio")) if (other !== player) other.pause();
  });
document.querySelector("#save").addEventListener("click", () => {
  const name = listener.value.trim();
  if (!name) { listener.focus(); alert("Please give a name or number first."); return; }
  const cell = text => '"' + String(text).replaceAll('"', '""') + '"';
  const lines = ["test,listener,trial,question,answer"];
  for (const [place, answer] of Object.entries(answers)) {
    const [trial, question] = place.split(" ");
    lines.push([test, cell(name), trial, question, answer].join(","));
  }
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([lines.join("\\n") + "\\n"], {type: "text/csv"}));
  link.download = "answers-" + test + "-" + name.replace(/[^A-Za-z0-9_-]+/g, "_") + ".csv";
  link.click();
});
show();
"""


def page(
    test: str, kind: str, trials: Sequence[Sequence[str]], questions: Sequence[Mapping[str, str]]
) -> str:
    """The whole page.

    Args:
        test: digest that ties the answers to their key.
        kind: ``ab`` or ``mos``.
        trials: data URLs of each trial's clips, from left to right.
        questions: what is asked of each trial, by the name it has in the CSV.
    """
    choices = _PREFERENCES if kind == "ab" else _RATINGS
    sections = "".join(
        f"<section><h2>{number + 1}</h2><div class=media>{''.join(map(_player, clips))}</div>"
        + "".join(_question(number, name, text, choices) for name, text in asked.items())
        + "</section>"
        for number, (clips, asked) in enumerate(zip(trials, questions, strict=True))
    )
    hint = "Which of the two is better?" if kind == "ab" else "How good is it?"
    return html_page(
        "Listening test",
        _STYLE,
        f"<h1>Listening test</h1><p>Use headphones. {hint} Play as often as you like.</p>"
        "<div class=bar>Your name or number <input id=listener> <button id=save>Save answers</button> "
        f"<span id=done></span></div>{sections}<script>const test = {json.dumps(test)};{_SCRIPT}</script>",
    )


def is_video(url: str) -> bool:
    """Whether a clip's data URL has frames."""
    return url.startswith("data:video")


def _player(url: str) -> str:
    tag = "video" if is_video(url) else "audio"
    return f'<{tag} controls src="{url}"></{tag}>'


def _question(trial: int, name: str, text: str, choices: Mapping[int, str]) -> str:
    options = "".join(
        f'<label><input type=radio name="{trial} {escape(name)}" value="{value}"> {escape(label)}</label>'
        for value, label in choices.items()
    )
    return f"<fieldset><legend>{escape(text)}</legend>{options}</fieldset>"
