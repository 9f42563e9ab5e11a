"""Options of ``vab studio``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class StudioOptions:
    """A page in the browser: drop a video, hear it, choose, keep; search indexed clips.

    There is no log-in: only this machine can reach it unless --host and --allow-remote say otherwise.
    """

    weights: list[str] = field(default_factory=lambda: ["demo"])
    """Systems to choose from: 'demo', names that 'vab info' lists, or models' .safetensors files."""
    index: list[Path] = field(default_factory=list)
    """Folders of indexes to search, all built with the same weights."""
    classes: str = "demo-classes"
    """Weights of a classifier, a name or a .safetensors file of 'vab finetune'."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int | None = None
    """Port to listen on; by default the first that is free from 7860 on."""
    allow_remote: bool = False
    """Serve on an address that other machines can reach: whoever reaches it sees the clips and can send files."""
    max_upload_mb: int = 200
    """Largest file that may be sent."""
    max_seconds: float = 300.0
    """Longest stretch of a file that is worked on."""
    device: str = "auto"
    """auto, cpu or cuda."""

    def __post_init__(self) -> None:
        if self.max_upload_mb < 1 or self.max_seconds <= 0:
            raise ValueError("--max-upload-mb must be at least 1, --max-seconds above 0")
