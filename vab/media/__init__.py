"""The only package that opens sound and video, with PyAV: frames at a rate, mono sound, and both out again."""

from vab.media.audio import SampleFaults, find_sample_faults, iter_audio, read_audio
from vab.media.encode import resample
from vab.media.find import VIDEO_SUFFIXES, find_media
from vab.media.frames import iter_frames
from vab.media.limited import decode_limited
from vab.media.mux import MUX_SUFFIXES, check_mux, mux
from vab.media.probe import AudioInfo, MediaInfo, VideoInfo, probe
from vab.media.sound_file import AUDIO_SUFFIXES, through_opus, write_audio
from vab.media.write import write_clip

__all__ = [
    "AUDIO_SUFFIXES",
    "MUX_SUFFIXES",
    "VIDEO_SUFFIXES",
    "AudioInfo",
    "MediaInfo",
    "SampleFaults",
    "VideoInfo",
    "check_mux",
    "decode_limited",
    "find_media",
    "find_sample_faults",
    "iter_audio",
    "iter_frames",
    "mux",
    "probe",
    "read_audio",
    "resample",
    "through_opus",
    "write_audio",
    "write_clip",
]
