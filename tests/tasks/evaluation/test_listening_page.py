"""The page of a listening test in a browser: answers outlive a reload, are saved as CSV, unblinded by the key."""

import json
import re
import subprocess
from html import unescape
from pathlib import Path

from made_sounds import strikes

from tasks import cli
from vab.media import write_audio

_LISTENER = """
<script>
// A listener who always clearly prefers the right one: every question of every trial is answered and saved.
URL.createObjectURL = blob => { blob.text().then(text => tell("csv", text)); return "#"; };
HTMLAnchorElement.prototype.click = function () { tell("file", this.download); };
function tell(id, text) {
  const place = document.createElement("pre");
  place.id = id;
  place.textContent = text;
  document.body.append(place);
}
window.alert = text => tell("alert", text);
document.querySelector("#save").click();
for (const input of document.querySelectorAll("input[value='2']")) input.click();
document.querySelector("#listener").value = 'Ann "A", 1';
document.querySelector("#save").click();
</script>
"""


def open_page(browser: str, page: Path) -> str:
    """The document after its scripts have run; answers are kept beside the page, as in a listener's own browser."""
    words = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={page.parent / 'profile'}"]
    done = subprocess.run(
        [browser, *words, "--virtual-time-budget=5000", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=500,
        check=True,
    )
    return done.stdout


def shown(document: str, id: str) -> str:
    [text] = re.findall(rf'<(?:pre|span) id="?{id}"?>(.*?)</', document, re.DOTALL)
    return unescape(text)


def test_answers_are_kept_saved_and_unblinded(browser: str, tmp_path: Path) -> None:
    for index, name in enumerate(("ours", "theirs")):
        for clip in range(4):
            (tmp_path / name).mkdir(exist_ok=True)
            sound = strikes([0.1 + 0.1 * index], seconds=0.5)
            write_audio(tmp_path / name / f"clip{clip}.flac", [sound], 16_000)
    systems = [f"{name}={tmp_path / name}" for name in ("ours", "theirs")]
    test = tmp_path / "test"
    assert cli.main(["evaluate", "listening", "--systems", *systems, "-o", str(test)]) == 0
    page, key = test / "test.html", json.loads((test / "key.json").read_text())

    untouched = page.read_text()
    assert shown(open_page(browser, page), "done") == "0 of 4 answered"
    page.write_text(untouched + _LISTENER)
    answered = open_page(browser, page)
    assert shown(answered, "alert") == "Please give a name or number first."
    assert shown(answered, "done") == "4 of 4 answered"
    assert shown(answered, "file") == f"answers-{key['test']}-Ann_A_1.csv"
    page.write_text(untouched)
    assert shown(open_page(browser, page), "done") == "4 of 4 answered"

    (tmp_path / "answers.csv").write_text(shown(answered, "csv"))
    words = ["evaluate", "answers", str(tmp_path / "answers.csv"), "--key", str(test / "key.json")]
    assert cli.main([*words, "-o", str(tmp_path / "result.json")]) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["listeners"], result["answers"]) == (1, 4)
    # Always the right one: what counts for ours is where it stood, which the key alone knows.
    on_the_left = sum(trial["order"][0] == "ours" for trial in key["trials"])
    assert 0 < on_the_left < 4
    for question in result["results"]:
        assert question["counts"] == [4 - on_the_left, 0, 0, 0, on_the_left]
