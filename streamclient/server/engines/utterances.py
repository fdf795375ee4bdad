"""Decodes an utterance with pocketsphinx; as a program, forks such a decoder whenever it is asked to.

The program loads the model once, and its children share that memory. Its standard input is a socket that brings it
the descriptors of others; each of those gets a child that decodes what comes there, until it is closed. A crash or an
endless loop inside pocketsphinx costs one child. When the first socket is closed, all of them end.

It imports little, and nothing of streamclient, so that it is quick to begin.

What makes pocketsphinx usable live is the cepstral mean: batch decoding normalises an utterance with its own mean, a
live decoder starts with one that fits nobody. So the beginning of each utterance is held back, its mean estimated on a
small decoder in batch mode, mixed with the running mean of the stream, and set before live decoding begins. An interim
that is wanted earlier has an estimate of its own, and what it is made from is decoded again.
"""

import contextlib
import itertools
import json
import os
import signal
import socket
import sys
from typing import Any

__all__ = ["FRAMES_PER_SECOND", "PROGRAM", "Segment", "UtteranceDecoder"]

PROGRAM = __file__
"""What Python is to run; its arguments are a ``sys.path``."""

SECOND = 2 * 16_000
"""Bytes of audio: 16 kHz, 16 bits, mono."""
HELD_BACK = 3 * SECOND
"""Bytes at the beginning of an utterance that its mean is estimated from."""
EARLY = 3 * SECOND // 2
"""Bytes from which on an interim is worth an estimate of its own."""
RUNNING_WEIGHT = 0.3
"""Share of the stream's running mean in the mean an utterance starts with."""
FRAMES_PER_SECOND = 100
KNOBS = {"fwdflat": False, "bestpath": True, "maxhmmpf": 5000, "wip": 0.2, "pip": 0.8}
"""No second pass (time at the end of each utterance for little accuracy), and a beam that costs no accuracy."""
LONGEST_WORK = 60.0
"""Seconds of processor time after which a child that was given a little audio is in an endless loop."""

Segment = tuple[str, int, int, float]
"""A word, its first and its last frame in the utterance, and its probability."""


class UtteranceDecoder:
    """One utterance at a time, for one caller at a time.

    Takes 95 MB and a quarter of a second to make. pocketsphinx holds Python's lock while it decodes.
    """

    def __init__(self) -> None:
        self.decoder = _make_decoder()
        self.estimator = _make_estimator()
        self.held = bytearray()  # of the utterance, until it is long enough for the last estimate
        self.estimated = 0  # bytes of the utterance the mean was estimated from
        self.decoding = False
        self.running: str | None = None

    def is_fit(self) -> bool:
        """Always."""
        return True

    def begin(self, running: str | None) -> None:
        """Begin an utterance, with nothing of the one before: it may have been another stream's, and not finished.

        Args:
            running: the mean of the stream so far, as :meth:`finish` gave it.
        """
        self.running = running
        self.held.clear()
        self.estimated = 0
        self._stop()

    def feed(self, audio: bytes) -> None:
        """Hold back the beginning; decode the rest."""
        if self.estimated < HELD_BACK:
            self.held += audio
        if self.decoding:
            self.decoder.process_raw(audio)
        if self.estimated < HELD_BACK <= len(self.held):
            self._start()
            self.held.clear()

    def words(self) -> list[Segment]:
        """Return what it sounds like so far; probabilities mean nothing yet."""
        if not self.decoding and len(self.held) >= EARLY:
            self._start()
        return _segments(self.decoder) if self.decoding else []

    def finish(self) -> tuple[list[Segment], str]:
        """Return the words of the utterance, and the mean of the stream with it."""
        if self.estimated < min(len(self.held), HELD_BACK):
            self._start()
        self._stop()
        return _segments(self.decoder), self.decoder.get_cmn(True)

    def close(self) -> None:
        """Nothing is held but memory."""

    def _start(self) -> None:
        """Decode what is held, from its beginning."""
        self._stop()
        self.estimated = min(len(self.held), HELD_BACK)
        own = _estimate(self.estimator, bytes(self.held[: self.estimated]))
        _start_utterance(self.decoder)
        self.decoder.set_cmn(own if self.running is None else _mixed(own, self.running))
        self.decoder.process_raw(bytes(self.held))
        self.decoding = True

    def _stop(self) -> None:
        if self.decoding:
            self.decoder.end_utt()
        self.decoding = False


def _segments(decoder: Any) -> list[Segment]:
    """The words, read at once: they dangle when the decoder moves on."""
    if decoder.hyp() is None:
        return []
    return [
        (
            segment.word.partition("(")[0],
            segment.start_frame,
            segment.end_frame,
            min(max(float(segment.prob), 0.0), 1.0),
        )
        for segment in decoder.seg()
        if not segment.word.startswith(("<", "["))
    ]


def _mixed(own: str, running: str) -> str:
    pairs = itertools.zip_longest(map(float, own.split(",")), map(float, running.split(",")), fillvalue=0.0)
    return ",".join(str((1 - RUNNING_WEIGHT) * a + RUNNING_WEIGHT * b) for a, b in pairs)


def _estimate(estimator: Any, audio: bytes) -> str:
    """The cepstral mean of some audio."""
    _start_utterance(estimator)
    estimator.process_raw(audio, full_utt=True)
    estimator.end_utt()
    mean: str = estimator.get_cmn(False)
    return mean


def _start_utterance(decoder: Any) -> None:
    """Begin with nothing of the utterance before.

    Making the features anew is the way to reset noise statistics and mean; ``start_stream`` is deprecated.
    """
    decoder.reinit_feat()
    decoder.start_utt()


def _make_decoder() -> Any:
    """Make a decoder and use it once: the first utterance is scored a little differently from all others."""
    from pocketsphinx import Decoder  # type: ignore[import-untyped] # here, because the program sets its path first

    decoder = Decoder(samprate=SECOND / 2, loglevel="FATAL", **KNOBS)
    _start_utterance(decoder)
    decoder.process_raw(bytes(SECOND // 10))
    decoder.end_utt()
    return decoder


def _make_estimator() -> Any:
    """A decoder that knows one word: small, quick to make, and always in batch mode."""
    from pocketsphinx import Decoder

    estimator = Decoder(lm=None, dict=os.devnull, samprate=SECOND / 2, loglevel="FATAL")
    estimator.add_word("a", "AH")
    estimator.add_keyphrase("one", "a")
    estimator.activate_search("one")
    return estimator


# The program.


def main(path: list[str]) -> None:
    """Fork a decoder for each descriptor that comes.

    Args:
        path: where to find pocketsphinx: ``sys.path`` of whoever runs this program, which also ends it. Signals that
            a terminal or a service manager sends to all processes do not.
    """
    sys.path[:] = path
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children that end are gone at once
    decoder = UtteranceDecoder()
    with _blocking(sys.stdin.fileno()) as control:
        while descriptors := socket.recv_fds(control, 1, 1)[1]:
            _fork(decoder, control, _blocking(descriptors[0]))
    os.killpg(0, signal.SIGKILL)  # a group of its own: this process and all of its children


def _blocking(descriptor: int) -> socket.socket:
    """It may come from a process with a default timeout, or with gevent, whose sockets block nobody."""
    connection = socket.socket(fileno=descriptor)
    connection.setblocking(True)
    return connection


def _fork(decoder: UtteranceDecoder, control: socket.socket, connection: socket.socket) -> None:
    """Serve a connection in a child; where there can be no more of them it is closed, and that is the answer."""
    with connection, contextlib.suppress(OSError):
        if os.fork():
            return
        control.close()
        try:
            _serve(decoder, connection)
        except OSError:
            pass  # nobody is there any more
        except BaseException:  # noqa: BLE001 - whatever it is must not go on to the loop of the parent
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(0)


def _serve(decoder: UtteranceDecoder, connection: socket.socket) -> None:
    """Answer calls, one a line; the audio of ``feed`` follows its line."""
    with connection.makefile("rb") as calls:
        for line in calls:
            signal.setitimer(signal.ITIMER_VIRTUAL, LONGEST_WORK)  # the signal it ends with ends the process
            call, argument = json.loads(line)
            if call == "begin":
                decoder.begin(argument)
            elif call == "feed":
                decoder.feed(calls.read(argument))
            else:
                answer = decoder.words() if call == "words" else decoder.finish()
                connection.sendall(json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main(sys.argv[1:])
