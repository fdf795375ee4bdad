# It is for another version of the SDK than the one that is installed:
# mypy: ignore-errors
"""Version 4 of Deepgram's Python SDK: stream a file of raw audio, print the finals as one JSON object.

::

    DEEPGRAM_HOST=http://... DEEPGRAM_API_KEY=... python python_4.py URL KEY FILE

This SDK hangs up half a second after its ``CloseStream``, whether the server is done or not. So it is asked to finish
when the last final has come: that is how its users have to do it.
"""

import json
import sys
import threading
from pathlib import Path

from deepgram import ClientOptionsFromEnv, DeepgramClient, LiveOptions, LiveTranscriptionEvents

*_, file = sys.argv
finals, summary, flushed = [], [], threading.Event()


def on_transcript(_, result, **__):
    """Keep the finals."""
    if result.is_final and result.channel.alternatives[0].transcript:
        finals.append(result.channel.alternatives[0].transcript)
    if result.from_finalize:
        flushed.set()


client = DeepgramClient(config=ClientOptionsFromEnv())
connection = client.listen.websocket.v("1")
connection.on(LiveTranscriptionEvents.Transcript, on_transcript)
connection.on(LiveTranscriptionEvents.Metadata, lambda _, metadata, **__: summary.append(metadata.duration))
assert connection.start(LiveOptions(model="nova-3", encoding="linear16", sample_rate=16000))
audio = Path(file).read_bytes()
for start in range(0, len(audio), 6400):
    assert connection.send(audio[start : start + 6400])
connection.finalize()
assert flushed.wait(200)
assert connection.finish()
print(json.dumps({"text": " ".join(finals), "duration": summary}))
