"""What a result records of its options."""

from pathlib import Path

from tasks.pretraining.options import PretrainOptions
from vab.config import to_dict, to_record
from vab.training.options import TrainingOptions


def test_a_record_has_what_was_chosen_and_no_places() -> None:
    options = PretrainOptions(
        store=[Path("/secret/store")],
        out=Path("/secret/out"),
        training=TrainingOptions(max_steps=7),
        codec_weights="/secret/codec.safetensors",
    )
    record = to_record(options)
    assert "secret" not in str(record)
    assert record["training"]["max_steps"] == 7
    assert record["model"] == to_dict(options)["model"]
    assert record["data"] == to_dict(options)["data"]
