"""``vab <command>``: parse first, import what the command needs after, so that help and mistakes cost no time."""

from __future__ import annotations

import importlib
import inspect
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonargparse import ActionConfigFile, set_loader, set_parsing_settings
from yaml import YAMLError

from tasks.options import MOST_SHOWN, HelpFormatter, Parser, add_options, build, input_paths, output_paths
from vab import __version__
from vab.config import load_yaml
from vab.errors import StoppedError, VABError
from vab.files import check_outputs, check_writable


@dataclass(frozen=True)
class Command:
    """What one command does."""

    summary: str
    example: str
    """A use of it, without ``vab``; its options are valid."""
    call: str
    """``module:function(Class)``, below ``tasks``: takes the options, gives an exit code."""
    has_config: bool = False
    """Whether a YAML file can fill the options in."""

    @property
    def options(self) -> Any:
        """The dataclass of its options, from the light module of its folder."""
        module, name = self.call.rstrip(")").split("(")
        return getattr(importlib.import_module(f"tasks.{module.split('.')[0]}.options"), name)

    @property
    def run(self) -> Any:
        """The function."""
        module, name = self.call.partition("(")[0].split(":")
        return getattr(importlib.import_module(f"tasks.{module}"), name)


GROUPS = {
    "use": {
        "generate": Command(
            "give videos their sound",
            "generate clip.mp4 -o out --seed 1 --loudness -23",
            "generation.run:run(GenerateOptions)",
        ),
        "studio": Command(
            "a page in the browser: generate, choose, keep; search",
            "studio --weights demo --port 7860",
            "studio.run:run(StudioOptions)",
        ),
        "layout": Command(
            "when and how high a video sounds, to edit and to follow",
            "layout --audio drums.wav -o layout.json",
            "layout.run:run(LayoutOptions)",
        ),
        "refine": Command(
            "coarse audio or codes to all codebooks of the codec",
            "refine coarse.wav -o out --weights demo",
            "refinement.run:run(RefineOptions)",
        ),
        "classify": Command(
            "say what is heard and seen in clips",
            "classify clip.mp4 --every 1 -o out",
            "classification.classify:run(ClassifyOptions)",
        ),
        "embed": Command(
            "one vector a file, of its audio or frames, or of text",
            "embed clip.mp4 --modality video -o clip.npy",
            "retrieval.embed:run(EmbedOptions)",
        ),
        "index build": Command(
            "make clips searchable by frames, audio and text",
            "index build videos -o index",
            "retrieval.index:build(IndexBuildOptions)",
        ),
        "index add": Command(
            "add clips to an index, or complete a stopped run",
            "index add index more-videos",
            "retrieval.index:add(IndexAddOptions)",
        ),
        "index remove": Command(
            "take clips out of an index",
            "index remove index videos/clip.mp4",
            "retrieval.index:remove(IndexRemoveOptions)",
        ),
        "index verify": Command(
            "check that an index is what was written",
            "index verify index",
            "retrieval.index:verify(IndexVerifyOptions)",
        ),
        "search": Command(
            "find clips by a video, by audio or by text",
            'search index --text "a dog barks" --html found.html',
            "retrieval.search:run(SearchOptions)",
        ),
        "info": Command(
            "versions, devices, weights and their licences",
            "info --json",
            "info.run:run(InfoOptions)",
        ),
    },
    "train": {
        "extract": Command(
            "videos to codes and visual features, once",
            "extract vggsound.csv --media-root videos --store stores/vggsound --visual-fps 5",
            "extraction.run:run(ExtractOptions)",
        ),
        "curate": Command(
            "a list of those clips of a store whose audio belongs to their frames",
            "curate stores/vggsound --by imagebind --min-similarity 0.3 -o visualsound.csv",
            "curation.run:run(CurateOptions)",
        ),
        "pretrain": Command(
            "train a model on extracted features",
            "pretrain --config configs/vab/vab_encodec.yaml --store stores/vggsound --out runs/vab",
            "pretraining.run:run(PretrainOptions)",
            has_config=True,
        ),
        "finetune": Command(
            "turn a VAB into a classifier, over official folds or splits",
            "finetune --config configs/classification/esc50.yaml --store stores/esc50 --out runs/esc50",
            "classification.finetune:run(FinetuneOptions)",
            has_config=True,
        ),
        "adapt": Command(
            "adapt a model for search: audio and frames of a clip together",
            "adapt --config configs/retrieval/demo.yaml --store stores/vggsound --out runs/search",
            "retrieval.adapt:run(AdaptOptions)",
            has_config=True,
        ),
    },
    "evaluate": {
        "evaluate tokens": Command(
            "accuracy on masked codes, with and without frames",
            "evaluate tokens --store stores/vggsound --weights runs/vab/model.safetensors -o tokens.json",
            "evaluation.tokens:run(TokensOptions)",
        ),
        "evaluate codec": Command(
            "what codecs keep of pitch and spectrum, beside Opus",
            "evaluate codec spectral-16khz --audio recordings -o out/codec",
            "evaluation.codec:run(CodecOptions)",
        ),
        "evaluate refinement": Command(
            "what a coarse-to-fine stage gives back of what the coarse codebooks lose",
            "evaluate refinement --store stores/dac --weights runs/fine/model.safetensors -o out/refinement",
            "refinement.evaluate:run(RefinementOptions)",
        ),
        "evaluate demo": Command(
            "measure a model of Foley world, whose every event is known",
            "evaluate demo --clips 20 -o out/benchmark",
            "demo.benchmark.run:run(BenchmarkOptions)",
        ),
        "evaluate sweep": Command(
            "decoding options against what is heard",
            "evaluate sweep --steps 4 8 16 --cfg-scale 1 3 5 -o out/sweep",
            "demo.benchmark.sweep:run(SweepOptions)",
        ),
        "evaluate layout": Command(
            "whether a sound follows a layout that was edited",
            "evaluate layout --weights demo-tiva --store stores/foley -o out/layout",
            "demo.benchmark.layouts:run(LayoutEditsOptions)",
        ),
        "evaluate ablation": Command(
            "small models that differ in one thing",
            "evaluate ablation alibi --store out/bundle/store -o out/ablation",
            "demo.benchmark.ablation:run(AblationOptions)",
        ),
        "evaluate curation": Command(
            "whether swapped sounds are found, and what leaving them out does",
            "evaluate curation --store out/bundle/store -o out/curation",
            "demo.benchmark.curation:run(CurationOptions)",
        ),
        "evaluate generation": Command(
            "generated sound against true sound: numbers, problems, a page",
            "evaluate generation --generated out --reference videos -o report.json",
            "evaluation.generation:run(GenerationOptions)",
        ),
        "evaluate list": Command(
            "cut a list of clips to measure on from VGGSound's own",
            "evaluate list --source vggsound.csv --media-root videos -o list.csv",
            "evaluation.lists:run(ListOptions)",
        ),
        "evaluate listening": Command(
            "a blinded test by people: one page, one key",
            "evaluate listening --systems ours=out theirs=other --kind ab -o listening",
            "evaluation.listening:make(ListeningOptions)",
        ),
        "evaluate answers": Command(
            "what people answered in a listening test",
            "evaluate answers anna.csv bert.csv --key listening/key.json -o answers.json",
            "evaluation.listening:analyse(AnswersOptions)",
        ),
        "evaluate retrieval": Command(
            "recall at 1, 5 and 10: audio by frames and frames by audio",
            "evaluate retrieval --store stores/vggsound --weights runs/search/encoder.safetensors -o retrieval.json",
            "evaluation.retrieval:run(RetrievalOptions)",
        ),
        "evaluate results": Command(
            "write the page of results from the JSON files of measurements",
            "evaluate results -o docs/results.md",
            "evaluation.results:run(ResultsOptions)",
        ),
        "bench generate": Command(
            "seconds of a configuration's decoding on this machine, beside the least that they could be",
            "bench generate configs/vab/vab_encodec.yaml --seconds 10 -o generate.json",
            "bench.model:generate(BenchModelOptions)",
        ),
        "bench train": Command(
            "seconds of a configuration's training step on this machine, beside the least that they could be",
            "bench train configs/vab/demo.yaml --batch-size 16 --seconds 4 -o train.json",
            "bench.model:train(BenchModelOptions)",
        ),
        "bench extract": Command(
            "clips a second of an extraction on this machine, beside decoding alone and encoding alone",
            "bench extract videos/ -o extract.json",
            "bench.extract:run(BenchExtractOptions)",
        ),
        "bench decoding": Command(
            "masked decoding beside autoregression of like size, with and without a cache",
            "bench decoding --config configs/vab/vab_dac.yaml --seconds 10 -o decoding.json",
            "bench.decoding:run(BenchDecodingOptions)",
        ),
        "bench index": Command(
            "recall and speed of the kinds of index on this machine",
            "bench index --sizes 10000 --kinds flat hnsw -o index.json",
            "bench.index:run(BenchIndexOptions)",
        ),
    },
    "demo": {
        "demo": Command(
            "see and hear it work, on bundled weights",
            "demo -o out/demo",
            "demo.run:run(DemoOptions)",
        ),
        "demo corpus": Command(
            "render Foley world: videos whose every sound is known",
            "demo corpus --clips 200 -o out/foley",
            "demo.run:corpus(CorpusOptions)",
        ),
        "demo train": Command(
            "make the bundled weights from nothing",
            "demo train --quick -o out/bundle",
            "demo.train:run(TrainOptions)",
        ),
    },
}
"""Commands under the headings of the overview."""

COMMANDS = {name: command for commands in GROUPS.values() for name, command in commands.items()}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; a problem the user can mend is one line and exit code 2."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    if not arguments or arguments[0] in ("-h", "--help"):
        print("From vision to audio and beyond: one masked transformer that gives videos their sound.\n")
        print(_overview("vab <command> [options]", list(COMMANDS)))
        return 0
    if arguments[0] == "--version":
        print(f"vab {__version__}")
        return 0
    name, rest = _split(arguments)
    if name not in COMMANDS:
        family = [known for known in COMMANDS if known.startswith(f"{name} ")]
        if family and rest[:1] in ([], ["-h"], ["--help"]):
            print(_overview(f"vab {name} <command> [options]", family))
            return 0
        said = " ".join(arguments[: 2 if family else 1])
        return _end(f"vab: no command {said!r}; there are: {', '.join(family or COMMANDS)}")
    command = COMMANDS[name]
    outputs: list[Path] = []
    try:
        parser = make_parser(name)
        parsed = parser.instantiate(parser.parse_args([_as_file(word) for word in rest]))
        given = build(command.options, parsed)
        outputs = output_paths(given)
        check_outputs([path for path in outputs if not path.is_dir()], input_paths(given))
        for path in outputs:
            check_writable(path)
        return command.run(given)
    except (VABError, ValueError) as error:
        return _end(f"vab {name}: {' '.join(str(error).split())[:MOST_SHOWN]}")
    except StoppedError as error:
        remedy = "re-run with --resume to resume" if "resume" in parsed else "re-run to resume"
        return _end(f"vab {name}: {error}; {remedy}", 128 + error.signal_number)
    except BrokenPipeError:  # what read the output has gone, such as head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # such as a full disk
        where = error.filename or next(map(str, outputs), "a file")
        why = error.strerror or error
        return _end(f"vab {name}: {where}: {why}; check the disk and the permissions")
    except KeyboardInterrupt:
        return _end(f"vab {name}: stopped", 130)


def _end(line: str, code: int = 2) -> int:
    print(line, file=sys.stderr)
    return code


def make_parser(name: str) -> Parser:
    """The parser of one command, which imports its options and nothing heavy."""
    command = COMMANDS[name]
    options = command.options
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    set_loader("yaml", load_yaml, exceptions=(YAMLError,))
    parser = Parser(
        prog=f"vab {name}",
        description=inspect.cleandoc(options.__doc__ or command.summary),
        epilog=f"example:\n  vab {command.example}",
        formatter_class=HelpFormatter,
    )
    if command.has_config:
        parser.add_argument(
            "--config", action=ActionConfigFile, help="YAML file with any of the options below"
        )
    add_options(parser, options)
    return parser


def _split(arguments: list[str]) -> tuple[str, list[str]]:
    """The command, of two words where there is such a one, and what follows it."""
    num_words = 2 if " ".join(arguments[:2]) in COMMANDS else 1
    return " ".join(arguments[:num_words]), arguments[num_words:]


def _as_file(word: str) -> str:
    """A file whose name starts with a dash is a file, not an option."""
    return f"./{word}" if word.startswith("-") and Path(word).is_file() else word


def _overview(usage: str, names: Sequence[str]) -> str:
    width = max(map(len, names))
    lists = "\n\n".join(
        "\n".join([f"{group}:", *(f"  {name:<{width}}  {commands[name].summary}" for name in chosen)])
        for group, commands in GROUPS.items()
        if (chosen := [name for name in names if name in commands])
    )
    return (
        f"usage: {usage}\n\n{lists}\n\n"
        "'vab <command> --help' explains a command; 'vab demo' is the place to start."
    )


if __name__ == "__main__":
    sys.exit(main())
