"""What a result records of its options."""

import json
from pathlib import Path

from tasks.pretraining.options import PretrainOptions
from vab.config import from_dict, load_yaml, to_dict, to_record
from vab.models.scav.config import SCAVConfig
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


def test_dates_stay_text() -> None:
    """A card that is read and written again is JSON."""
    assert load_yaml("{date: 2026-11-27, number: 1.0e-3}") == {"date": "2026-11-27", "number": 1e-3}


def test_the_document_that_a_configuration_is_made_from_stays_as_it_was() -> None:
    """A model's card is read, its network built from it, and the card written again."""
    document = {
        "visual": {"clip": {"width": 128, "rate": 12.5}},
        "audio": {"beats": {"width": 768, "rate": 50.0}},
    }
    given = json.loads(json.dumps(document))
    from_dict(SCAVConfig, given, source="card")
    assert given == document
