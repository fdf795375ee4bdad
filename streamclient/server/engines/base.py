"""What a recognition engine is: the whole of what a new one has to provide.

A stranger's engine is two small classes::

    class MyEngine(Engine):
        name = "mine"

        def recogniser(self, language: str) -> Recogniser:
            return MyRecogniser()

    class MyRecogniser(Recogniser):
        def begin(self, start): ...        # an utterance opens at `start` seconds
        def feed(self, samples): ...       # its audio, in order
        def words(self): ...               # what it sounds like so far
        def finish(self): ...              # what it was

The server finds out where utterances begin and end, when results are due and what they look like; the engine
turns the audio of one utterance into words.
"""

import abc
import uuid
from collections.abc import Sequence

import attrs
import numpy as np
import numpy.typing as npt

__all__ = ["SAMPLE_RATE", "Engine", "Model", "Recogniser", "Samples", "Word"]

SAMPLE_RATE = 16000
"""Samples per second of the audio every engine is given."""

Samples = npt.NDArray[np.int16]
"""Mono audio: a one-dimensional array of signed 16-bit samples."""


@attrs.frozen
class Word:
    """A recognised word.

    Attributes:
        text: the word, lower-case, without punctuation.
        start: where it begins, in seconds from the beginning of the channel's audio.
        end: where it ends, in the same seconds.
        confidence: how sure the engine is, from 0 to 1.
        punctuated: the word as it is written in a text (``"Please,"``), or ``None`` if the engine does not know.
        language: its BCP-47 tag, for engines that tell several languages apart.
    """

    text: str
    start: float
    end: float
    confidence: float
    punctuated: str | None = None
    language: str | None = None


@attrs.frozen
class Model:
    """The model behind an engine, as results name it (Deepgram: ``model_info``).

    Attributes:
        name: name of the model.
        version: its version.
        arch: its family.
    """

    name: str
    version: str
    arch: str

    @property
    def uuid(self) -> str:
        """The same model has the same identifier on every machine."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"streamclient:{self.arch}/{self.name}/{self.version}"))


class Recogniser(abc.ABC):
    """Recognises one channel of one stream, utterance by utterance.

    Everything is called by the one thread that serves the stream. Audio is 16 kHz mono.

    Attributes:
        attack: seconds of speech inside 0.2 s that open an utterance; more of it ignores clicks, less of it
            catches shorter words.
    """

    attack: float = 0.12

    @abc.abstractmethod
    def is_speech(self, frame: Samples) -> bool:
        """Tell whether 20 ms of audio (320 samples) contain speech.

        Called once for every frame of the channel, in order, whether an utterance is open or not.
        """

    @abc.abstractmethod
    def begin(self, start: float) -> None:
        """Open an utterance whose first sample lies ``start`` seconds into the channel's audio."""

    @abc.abstractmethod
    def feed(self, samples: Samples) -> None:
        """Take the next audio of the open utterance; never an empty array."""

    @abc.abstractmethod
    def words(self) -> list[Word]:
        """Return what the open utterance sounds like so far; may be revised later."""

    @abc.abstractmethod
    def finish(self) -> list[Word]:
        """Close the open utterance and return its words."""

    def expect(self, terms: Sequence[str]) -> bool:  # noqa: ARG002 - for engines that can
        """Expect these terms from now on, and those given before no longer; tell whether that has any effect."""
        return False

    def close(self) -> None:  # noqa: B027 - optional
        """Give back whatever is held; also called in the middle of an utterance when a client hangs up."""


class Engine(abc.ABC):
    """Makes recognisers. One engine serves all streams of a server, so its methods are called by many threads.

    Attributes:
        name: the name it goes by on the command line.
        punctuates: whether words come with capitals and marks.
    """

    name: str
    punctuates: bool = False

    @property
    @abc.abstractmethod
    def model(self) -> Model:
        """The model that recognises."""

    def understands(self, language: str) -> bool:  # noqa: ARG002 - for engines that do not understand everything
        """Tell whether a stream in this language (a BCP-47 tag, or ``"multi"``) makes sense; refused otherwise."""
        return True

    @abc.abstractmethod
    def recogniser(self, language: str) -> Recogniser:
        """Make the recogniser for one channel of a new stream.

        Args:
            language: the BCP-47 tag the client asked for (``"en"`` if it did not ask).
        """

    def open(self) -> None:  # noqa: B027 - optional
        """Get ready: called by a server that has started, and is not to keep it waiting; an error ends the server."""

    def close(self) -> None:  # noqa: B027 - optional
        """Give back what no stream uses: called by a server that stops, while another one may go on with the engine."""
