"""Errors a user can act on: each names the file or value and the remedy, in one line."""


class VABError(Exception):
    """Base of every error this package raises on purpose.

    The command line prints ``str(error)`` as one line and exits with 2; anything else is a bug.
    """


class MediaError(VABError):
    """A sound or video file that cannot be read, or lacks the stream that was asked for."""


class WeightsError(VABError):
    """Weights that are absent, of the wrong kind, or do not match what they are used with."""


class StoreError(VABError):
    """A feature store that is absent, damaged, or holds other features than were asked for."""


class ManifestError(VABError):
    """A list of clips that cannot be read as any of the known formats."""


class ConfigError(VABError):
    """A configuration with an unknown key, a missing value or a value of the wrong type."""


class RetrievalError(VABError):
    """An index that is absent, damaged or of another model, or embeddings that cannot be ranked."""


class DivergenceError(VABError):
    """A training whose loss, gradients or weights are not finite."""


class StoppedError(Exception):
    """A training that a signal stopped; what it had reached is saved.

    The command line exits with 128 and the signal's number, as shells do.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number


def describe(error: BaseException) -> str:
    """An error as one line: our own say what is wrong by themselves, others need their type."""
    text = " ".join(str(error).split())
    return text if isinstance(error, VABError) else f"{type(error).__name__}: {text}"
