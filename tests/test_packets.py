"""Bare packets of a codec: each chunk is one, and arrives as one, or nobody could decode it."""

import pytest

from streamclient import ListenOptions, ReconnectPolicy, StreamClient
from streamclient.server.engines.echo import tones
from streamclient.testing import DeepgramServer, Fault, Fin, SlowHandshake, finals
from tests.support.encode import packets

TEXT = "every packet for itself"
OPUS = ListenOptions(encoding="opus", sample_rate=48_000)
QUICK = ReconnectPolicy(initial_delay=0.001)


@pytest.mark.parametrize("fault", [SlowHandshake(0.0), Fin(after=finals(1))], ids=str)
def test_every_packet_has_a_frame_of_its_own(fault: Fault) -> None:
    """However fast they come, over one connection or two; the words are those that were said."""
    spoken = packets(tones(f"{TEXT}\n{TEXT}"))
    with DeepgramServer(schedule=[[fault]]) as server:
        client = StreamClient(OPUS, url=server.url, reconnect=QUICK)
        with client:
            for packet in spoken:
                client.send(packet)
        frames = [frame for frame in server.calls[-1].frames if isinstance(frame, bytes)]
    assert frames == spoken
    assert (client.transcript.text, client.transcript.complete) == (f"{TEXT} {TEXT}", True)
