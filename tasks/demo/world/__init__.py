"""Foley world: a procedural corpus of objects whose motion makes their sound, with every event known."""

from tasks.demo.world.captions import frame_captions
from tasks.demo.world.classes import CLASSES
from tasks.demo.world.corpus import write_corpus
from tasks.demo.world.rendering import render, render_waveform
from tasks.demo.world.sampling import sample_scene
from tasks.demo.world.scene import FPS, FRAME_SIZE, SAMPLE_RATE, SPLITS, Scene, Source
from tasks.demo.world.truth import CORPUS_VERSION, ground_truth, source_state

__all__ = [
    "CLASSES",
    "CORPUS_VERSION",
    "FPS",
    "FRAME_SIZE",
    "SAMPLE_RATE",
    "SPLITS",
    "Scene",
    "Source",
    "frame_captions",
    "ground_truth",
    "render",
    "render_waveform",
    "sample_scene",
    "source_state",
    "write_corpus",
]
