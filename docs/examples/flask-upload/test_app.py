import io

from app import app

from streamclient.testing import DeepgramServer, silence, wav


def test_an_upload_is_transcribed(deepgram_server: DeepgramServer) -> None:
    deepgram_server.say("good morning")
    upload = (io.BytesIO(wav(silence(1.0))), "hello.wav")
    response = app.test_client().post("/transcribe", data={"audio": upload})
    assert response.json == {"text": "good morning"}
    deepgram_server.call.assert_closed_well()
