"""``vab <verb>``: parse first, import what the verb needs after, so that help and mistakes cost no time."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jsonargparse import ActionConfigFile, ArgumentParser, set_parsing_settings

from tasks.options import add_options, build, output_paths
from vab import __version__
from vab.errors import StoppedError, VABError
from vab.files import check_writable


@dataclass(frozen=True)
class Verb:
    """What one word on the command line does."""

    summary: str
    options: str
    """``module:Class`` of a light dataclass."""
    run: str
    """``module:function`` that takes it and returns an exit code."""
    has_config: bool = False
    """Whether a YAML file can fill the options in."""


VERBS = {
    "demo": Verb(
        "see and hear it work, on bundled weights", "tasks.demo.options:DemoOptions", "tasks.demo.run:run"
    ),
    "demo corpus": Verb(
        "render Foley world: videos whose every sound is known",
        "tasks.demo.options:CorpusOptions",
        "tasks.demo.run:corpus",
    ),
    "demo train": Verb(
        "make the bundled weights from nothing", "tasks.demo.options:TrainOptions", "tasks.demo.train:run"
    ),
    "generate": Verb(
        "give videos their sound", "tasks.generation.options:GenerateOptions", "tasks.generation.run:run"
    ),
    "refine": Verb(
        "coarse sound or codes to all levels of the codec",
        "tasks.refinement.options:RefineOptions",
        "tasks.refinement.run:run",
    ),
    "extract": Verb(
        "videos to codes and visual features, once",
        "tasks.extraction.options:ExtractOptions",
        "tasks.extraction.run:run",
    ),
    "pretrain": Verb(
        "train a model on extracted features",
        "tasks.pretraining.options:PretrainOptions",
        "tasks.pretraining.run:run",
        has_config=True,
    ),
    "finetune": Verb(
        "turn a VAB into a classifier, over official folds or splits",
        "tasks.classification.options:FinetuneOptions",
        "tasks.classification.finetune:run",
        has_config=True,
    ),
    "classify": Verb(
        "say what is heard and seen in clips",
        "tasks.classification.options:ClassifyOptions",
        "tasks.classification.classify:run",
    ),
    "adapt": Verb(
        "adapt a model for search: sound and pictures of a clip together",
        "tasks.retrieval.options:AdaptOptions",
        "tasks.retrieval.adapt:run",
        has_config=True,
    ),
    "embed": Verb(
        "one vector a file, of its sound, its pictures, or of words",
        "tasks.retrieval.options:EmbedOptions",
        "tasks.retrieval.embed:run",
    ),
    "index build": Verb(
        "make clips searchable by pictures, sound and words",
        "tasks.retrieval.options:IndexBuildOptions",
        "tasks.retrieval.index:build",
    ),
    "index add": Verb(
        "add clips to an index, or complete a stopped run",
        "tasks.retrieval.options:IndexAddOptions",
        "tasks.retrieval.index:add",
    ),
    "index remove": Verb(
        "take clips out of an index",
        "tasks.retrieval.options:IndexRemoveOptions",
        "tasks.retrieval.index:remove",
    ),
    "index verify": Verb(
        "check that an index is what was written",
        "tasks.retrieval.options:IndexVerifyOptions",
        "tasks.retrieval.index:verify",
    ),
    "search": Verb(
        "find clips by a video, by a sound or by words",
        "tasks.retrieval.options:SearchOptions",
        "tasks.retrieval.search:run",
    ),
    "serve": Verb(
        "a web page to search an index",
        "tasks.retrieval.options:ServeOptions",
        "tasks.retrieval.serve:run",
    ),
    "evaluate tokens": Verb(
        "accuracy on hidden codes, with and without vision",
        "tasks.evaluation.options:TokensOptions",
        "tasks.evaluation.tokens:run",
    ),
    "evaluate codec": Verb(
        "what codecs keep of pitch and spectrum, beside Opus",
        "tasks.evaluation.options:CodecOptions",
        "tasks.evaluation.codec:run",
    ),
    "evaluate refinement": Verb(
        "what a coarse-to-fine stage gives back of what the coarse levels lose",
        "tasks.refinement.options:RefinementOptions",
        "tasks.refinement.evaluate:run",
    ),
    "evaluate demo": Verb(
        "measure a model of Foley world, whose every event is known",
        "tasks.demo.options:BenchmarkOptions",
        "tasks.demo.benchmark.run:run",
    ),
    "evaluate sweep": Verb(
        "decoding options against what is heard",
        "tasks.demo.options:SweepOptions",
        "tasks.demo.benchmark.sweep:run",
    ),
    "evaluate ablation": Verb(
        "small models that differ in one thing",
        "tasks.demo.options:AblationOptions",
        "tasks.demo.benchmark.ablation:run",
    ),
    "evaluate generation": Verb(
        "generated sound against true sound: numbers, problems, a page",
        "tasks.evaluation.options:GenerationOptions",
        "tasks.evaluation.generation:run",
    ),
    "evaluate list": Verb(
        "cut a list of clips to measure on from VGGSound's own",
        "tasks.evaluation.options:ListOptions",
        "tasks.evaluation.lists:run",
    ),
    "evaluate listening": Verb(
        "a blinded test by people: one page, one key",
        "tasks.evaluation.options:ListeningOptions",
        "tasks.evaluation.listening:make",
    ),
    "evaluate answers": Verb(
        "what people answered in a listening test",
        "tasks.evaluation.options:AnswersOptions",
        "tasks.evaluation.listening:analyse",
    ),
    "evaluate retrieval": Verb(
        "recall at 1, 5 and 10: sound by pictures and pictures by sound",
        "tasks.evaluation.options:RetrievalOptions",
        "tasks.evaluation.retrieval:run",
    ),
    "bench model": Verb(
        "size and speed of a configuration on this machine",
        "tasks.bench.options:BenchModelOptions",
        "tasks.bench.model:run",
    ),
    "bench index": Verb(
        "recall and speed of the kinds of index on this machine",
        "tasks.bench.options:BenchIndexOptions",
        "tasks.bench.index:run",
    ),
    "info": Verb(
        "versions, devices, weights and their licences",
        "tasks.info.options:InfoOptions",
        "tasks.info.run:run",
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; a problem the user can mend is one line and exit code 2."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        return 0
    if arguments[0] == "--version":
        print(f"vab {__version__}")
        return 0
    name, rest = _split(arguments)
    if name not in VERBS:
        print(f"vab: no verb {name!r}; there are: {', '.join(VERBS)}", file=sys.stderr)
        return 2
    verb = VERBS[name]
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    options = _load(verb.options)
    parser = ArgumentParser(prog=f"vab {name}", description=(options.__doc__ or verb.summary))
    if verb.has_config:
        parser.add_argument(
            "--config", action=ActionConfigFile, help="YAML file with any of the options below"
        )
    add_options(parser, options)
    try:
        parsed = parser.instantiate(parser.parse_args([_as_file(word) for word in rest]))
        given = build(options, parsed)
        for path in output_paths(given):
            check_writable(path)
        return _load(verb.run)(given)
    except (VABError, ValueError) as error:
        print(f"vab {name}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except StoppedError as error:
        remedy = "re-run with --resume to resume" if "resume" in parsed else "re-run to resume"
        print(f"vab {name}: {error}; {remedy}", file=sys.stderr)
        return 128 + error.signal_number
    except BrokenPipeError:  # what read the output has gone, such as head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # such as a full disk
        print(
            f"vab {name}: {error.filename or 'a file'}: {error.strerror or error}; check the disk and the permissions",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print(f"vab {name}: stopped", file=sys.stderr)
        return 130


def _split(arguments: list[str]) -> tuple[str, list[str]]:
    """The verb, of two words where such a verb exists, and what follows it."""
    num_words = 2 if " ".join(arguments[:2]) in VERBS else 1
    return " ".join(arguments[:num_words]), arguments[num_words:]


def _load(where: str):  # type: ignore[no-untyped-def]
    module, attribute = where.split(":")
    return getattr(importlib.import_module(module), attribute)


def _as_file(word: str) -> str:
    """A file whose name starts with a dash is a file, not an option."""
    return f"./{word}" if word.startswith("-") and Path(word).is_file() else word


def _overview() -> str:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {name:<{width}}  {verb.summary}" for name, verb in VERBS.items())
    return (
        "usage: vab <verb> [options]\n\n"
        "From vision to audio and beyond: one masked transformer that gives videos their sound.\n\n"
        f"verbs:\n{verbs}\n\n"
        "'vab <verb> --help' explains a verb; 'vab demo' is the place to start."
    )


if __name__ == "__main__":
    sys.exit(main())
