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

    group: str
    """Heading of the overview under which it stands."""
    summary: str
    example: str
    """A use of it, without ``vab``; its options are valid."""
    options: str
    """``module:Class`` of a light dataclass."""
    run: str
    """``module:function`` that takes it and returns an exit code."""
    has_config: bool = False
    """Whether a YAML file can fill the options in."""


GROUPS = ("use", "train", "evaluate", "demo")

COMMANDS = {
    "demo": Command(
        "demo",
        "see and hear it work, on bundled weights",
        "demo -o out/demo",
        "tasks.demo.options:DemoOptions",
        "tasks.demo.run:run",
    ),
    "demo corpus": Command(
        "demo",
        "render Foley world: videos whose every sound is known",
        "demo corpus --clips 200 -o out/foley",
        "tasks.demo.options:CorpusOptions",
        "tasks.demo.run:corpus",
    ),
    "demo train": Command(
        "demo",
        "make the bundled weights from nothing",
        "demo train --quick -o out/bundle",
        "tasks.demo.options:TrainOptions",
        "tasks.demo.train:run",
    ),
    "generate": Command(
        "use",
        "give videos their sound",
        "generate clip.mp4 -o out --seed 1 --loudness -23",
        "tasks.generation.options:GenerateOptions",
        "tasks.generation.run:run",
    ),
    "studio": Command(
        "use",
        "a page in the browser: generate, choose, keep; search",
        "studio --weights demo --port 7860",
        "tasks.studio.options:StudioOptions",
        "tasks.studio.run:run",
    ),
    "layout": Command(
        "use",
        "when and how high a video sounds, to edit and to follow",
        "layout --audio drums.wav -o layout.json",
        "tasks.layout.options:LayoutOptions",
        "tasks.layout.run:run",
    ),
    "refine": Command(
        "use",
        "coarse audio or codes to all codebooks of the codec",
        "refine coarse.wav -o out --weights demo",
        "tasks.refinement.options:RefineOptions",
        "tasks.refinement.run:run",
    ),
    "extract": Command(
        "train",
        "videos to codes and visual features, once",
        "extract vggsound.csv --media-root videos --store stores/vggsound --visual-fps 5",
        "tasks.extraction.options:ExtractOptions",
        "tasks.extraction.run:run",
    ),
    "curate": Command(
        "train",
        "a list of those clips of a store whose audio belongs to their frames",
        "curate stores/vggsound --by imagebind --min-similarity 0.3 -o visualsound.csv",
        "tasks.curation.options:CurateOptions",
        "tasks.curation.run:run",
    ),
    "pretrain": Command(
        "train",
        "train a model on extracted features",
        "pretrain --config configs/vab/vab_encodec.yaml --store stores/vggsound --out runs/vab",
        "tasks.pretraining.options:PretrainOptions",
        "tasks.pretraining.run:run",
        has_config=True,
    ),
    "finetune": Command(
        "train",
        "turn a VAB into a classifier, over official folds or splits",
        "finetune --config configs/classification/esc50.yaml --store stores/esc50 --out runs/esc50",
        "tasks.classification.options:FinetuneOptions",
        "tasks.classification.finetune:run",
        has_config=True,
    ),
    "classify": Command(
        "use",
        "say what is heard and seen in clips",
        "classify clip.mp4 --every 1 -o out",
        "tasks.classification.options:ClassifyOptions",
        "tasks.classification.classify:run",
    ),
    "adapt": Command(
        "train",
        "adapt a model for search: audio and frames of a clip together",
        "adapt --config configs/retrieval/demo.yaml --store stores/vggsound --out runs/search",
        "tasks.retrieval.options:AdaptOptions",
        "tasks.retrieval.adapt:run",
        has_config=True,
    ),
    "embed": Command(
        "use",
        "one vector a file, of its audio or frames, or of text",
        "embed clip.mp4 --modality video -o clip.npy",
        "tasks.retrieval.options:EmbedOptions",
        "tasks.retrieval.embed:run",
    ),
    "index build": Command(
        "use",
        "make clips searchable by frames, audio and text",
        "index build videos -o index",
        "tasks.retrieval.options:IndexBuildOptions",
        "tasks.retrieval.index:build",
    ),
    "index add": Command(
        "use",
        "add clips to an index, or complete a stopped run",
        "index add index more-videos",
        "tasks.retrieval.options:IndexAddOptions",
        "tasks.retrieval.index:add",
    ),
    "index remove": Command(
        "use",
        "take clips out of an index",
        "index remove index videos/clip.mp4",
        "tasks.retrieval.options:IndexRemoveOptions",
        "tasks.retrieval.index:remove",
    ),
    "index verify": Command(
        "use",
        "check that an index is what was written",
        "index verify index",
        "tasks.retrieval.options:IndexVerifyOptions",
        "tasks.retrieval.index:verify",
    ),
    "search": Command(
        "use",
        "find clips by a video, by audio or by text",
        'search index --text "a dog barks" --html found.html',
        "tasks.retrieval.options:SearchOptions",
        "tasks.retrieval.search:run",
    ),
    "evaluate tokens": Command(
        "evaluate",
        "accuracy on masked codes, with and without frames",
        "evaluate tokens --store stores/vggsound --weights runs/vab/model.safetensors -o tokens.json",
        "tasks.evaluation.options:TokensOptions",
        "tasks.evaluation.tokens:run",
    ),
    "evaluate codec": Command(
        "evaluate",
        "what codecs keep of pitch and spectrum, beside Opus",
        "evaluate codec spectral-16khz --audio recordings -o out/codec",
        "tasks.evaluation.options:CodecOptions",
        "tasks.evaluation.codec:run",
    ),
    "evaluate refinement": Command(
        "evaluate",
        "what a coarse-to-fine stage gives back of what the coarse codebooks lose",
        "evaluate refinement --store stores/dac --weights runs/fine/model.safetensors -o out/refinement",
        "tasks.refinement.options:RefinementOptions",
        "tasks.refinement.evaluate:run",
    ),
    "evaluate demo": Command(
        "evaluate",
        "measure a model of Foley world, whose every event is known",
        "evaluate demo --clips 20 -o out/benchmark",
        "tasks.demo.options:BenchmarkOptions",
        "tasks.demo.benchmark.run:run",
    ),
    "evaluate sweep": Command(
        "evaluate",
        "decoding options against what is heard",
        "evaluate sweep --steps 4 8 16 --cfg-scale 1 3 5 -o out/sweep",
        "tasks.demo.options:SweepOptions",
        "tasks.demo.benchmark.sweep:run",
    ),
    "evaluate layout": Command(
        "evaluate",
        "whether a sound follows a layout that was edited",
        "evaluate layout --weights demo-tiva --store stores/foley -o out/layout",
        "tasks.demo.options:LayoutEditsOptions",
        "tasks.demo.benchmark.layouts:run",
    ),
    "evaluate ablation": Command(
        "evaluate",
        "small models that differ in one thing",
        "evaluate ablation alibi --store out/bundle/store -o out/ablation",
        "tasks.demo.options:AblationOptions",
        "tasks.demo.benchmark.ablation:run",
    ),
    "evaluate curation": Command(
        "evaluate",
        "whether swapped sounds are found, and what leaving them out does",
        "evaluate curation --store out/bundle/store -o out/curation",
        "tasks.demo.options:CurationOptions",
        "tasks.demo.benchmark.curation:run",
    ),
    "evaluate generation": Command(
        "evaluate",
        "generated sound against true sound: numbers, problems, a page",
        "evaluate generation --generated out --reference videos -o report.json",
        "tasks.evaluation.options:GenerationOptions",
        "tasks.evaluation.generation:run",
    ),
    "evaluate list": Command(
        "evaluate",
        "cut a list of clips to measure on from VGGSound's own",
        "evaluate list --source vggsound.csv --media-root videos -o list.csv",
        "tasks.evaluation.options:ListOptions",
        "tasks.evaluation.lists:run",
    ),
    "evaluate listening": Command(
        "evaluate",
        "a blinded test by people: one page, one key",
        "evaluate listening --systems ours=out theirs=other --kind ab -o listening",
        "tasks.evaluation.options:ListeningOptions",
        "tasks.evaluation.listening:make",
    ),
    "evaluate answers": Command(
        "evaluate",
        "what people answered in a listening test",
        "evaluate answers anna.csv bert.csv --key listening/key.json -o answers.json",
        "tasks.evaluation.options:AnswersOptions",
        "tasks.evaluation.listening:analyse",
    ),
    "evaluate retrieval": Command(
        "evaluate",
        "recall at 1, 5 and 10: audio by frames and frames by audio",
        "evaluate retrieval --store stores/vggsound --weights runs/search/encoder.safetensors -o retrieval.json",
        "tasks.evaluation.options:RetrievalOptions",
        "tasks.evaluation.retrieval:run",
    ),
    "evaluate results": Command(
        "evaluate",
        "write the page of results from the JSON files of measurements",
        "evaluate results -o docs/results.md",
        "tasks.evaluation.options:ResultsOptions",
        "tasks.evaluation.results:run",
    ),
    "bench generate": Command(
        "evaluate",
        "seconds of a configuration's decoding on this machine, beside the least that they could be",
        "bench generate configs/vab/vab_encodec.yaml --seconds 10 -o generate.json",
        "tasks.bench.options:BenchModelOptions",
        "tasks.bench.model:generate",
    ),
    "bench train": Command(
        "evaluate",
        "seconds of a configuration's training step on this machine, beside the least that they could be",
        "bench train configs/vab/demo.yaml --batch-size 16 --seconds 4 -o train.json",
        "tasks.bench.options:BenchModelOptions",
        "tasks.bench.model:train",
    ),
    "bench extract": Command(
        "evaluate",
        "clips a second of an extraction on this machine, beside decoding alone and encoding alone",
        "bench extract videos/ -o extract.json",
        "tasks.bench.options:BenchExtractOptions",
        "tasks.bench.extract:run",
    ),
    "bench decoding": Command(
        "evaluate",
        "masked decoding beside autoregression of like size, with and without a cache",
        "bench decoding --config configs/vab/vab_dac.yaml --seconds 10 -o decoding.json",
        "tasks.bench.options:BenchDecodingOptions",
        "tasks.bench.decoding:run",
    ),
    "bench index": Command(
        "evaluate",
        "recall and speed of the kinds of index on this machine",
        "bench index --sizes 10000 --kinds flat hnsw -o index.json",
        "tasks.bench.options:BenchIndexOptions",
        "tasks.bench.index:run",
    ),
    "info": Command(
        "use",
        "versions, devices, weights and their licences",
        "info --json",
        "tasks.info.options:InfoOptions",
        "tasks.info.run:run",
    ),
}


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
        known = ", ".join(family or COMMANDS)
        print(
            f"vab: no command {' '.join(arguments[: 2 if family else 1])!r}; there are: {known}",
            file=sys.stderr,
        )
        return 2
    command = COMMANDS[name]
    outputs: list[Path] = []
    try:
        parser = make_parser(name)
        parsed = parser.instantiate(parser.parse_args([_as_file(word) for word in rest]))
        given = build(_load(command.options), parsed)
        outputs = output_paths(given)
        check_outputs([path for path in outputs if not path.is_dir()], input_paths(given))
        for path in outputs:
            check_writable(path)
        return _load(command.run)(given)
    except (VABError, ValueError) as error:
        print(f"vab {name}: {' '.join(str(error).split())[:MOST_SHOWN]}", file=sys.stderr)
        return 2
    except StoppedError as error:
        remedy = "re-run with --resume to resume" if "resume" in parsed else "re-run to resume"
        print(f"vab {name}: {error}; {remedy}", file=sys.stderr)
        return 128 + error.signal_number
    except BrokenPipeError:  # what read the output has gone, such as head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # such as a full disk
        where = error.filename or next(map(str, outputs), "a file")
        print(
            f"vab {name}: {where}: {error.strerror or error}; check the disk and the permissions",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print(f"vab {name}: stopped", file=sys.stderr)
        return 130


def make_parser(name: str) -> Parser:
    """The parser of one command, which imports its options and nothing heavy."""
    command = COMMANDS[name]
    options = _load(command.options)
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


def _load(where: str):  # type: ignore[no-untyped-def]
    module, attribute = where.split(":")
    return getattr(importlib.import_module(module), attribute)


def _as_file(word: str) -> str:
    """A file whose name starts with a dash is a file, not an option."""
    return f"./{word}" if word.startswith("-") and Path(word).is_file() else word


def _overview(usage: str, names: Sequence[str]) -> str:
    """Commands under their headings."""
    width = max(map(len, names))
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(COMMANDS[name].group, []).append(f"  {name:<{width}}  {COMMANDS[name].summary}")
    lists = "\n\n".join(f"{group}:\n" + "\n".join(groups[group]) for group in GROUPS if group in groups)
    return (
        f"usage: {usage}\n\n{lists}\n\n"
        "'vab <command> --help' explains a command; 'vab demo' is the place to start."
    )


if __name__ == "__main__":
    sys.exit(main())
