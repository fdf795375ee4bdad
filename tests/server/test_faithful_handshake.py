"""The checklist of a faithful server, line by line, on the wire: the handshake."""

import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from websockets.version import version as websockets_version

from streamclient.server import LocalServer
from streamclient.server.engines.scripted import ScriptedEngine
from tests.support.wire import CLOSE, RAW, converse, dial, read, refusal, send

SECOND = bytes(32_000)
UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "A" * 22 + "==",
}

answered = pytest.mark.skipif(int(websockets_version.partition(".")[0]) < 17, reason="older websockets only hang up")


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    """A server that says the same words on every stream."""
    with LocalServer(ScriptedEngine()) as server:
        yield server


def ask(server: LocalServer, headers: dict[str, str], path: str = "/v1/listen") -> http.client.HTTPResponse:
    """The answer to a plain request."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response


def test_v1_listen_is_there_and_nothing_elsewhere(server: LocalServer) -> None:
    """An upgrade is answered with 101, another path with 404."""
    ws = dial(server)
    assert ws.getstatus() == 101
    ws.shutdown()
    for path in ("/", "/v1/speak", "/v2/listen", "/v1/listen/", "/v1"):
        assert refusal(server, path=path).status_code == 404


def test_only_version_13_is_upgraded(server: LocalServer) -> None:
    """Another version, or a request that is for no websocket, is refused by HTTP."""
    assert ask(server, {**UPGRADE, "Sec-WebSocket-Version": "8"}).status == 400
    assert ask(server, {}).status == 426


def test_every_response_has_the_request_id(server: LocalServer) -> None:
    """Of the upgrade, of a refusal, and of results: a UUID, one for each request."""
    ws = dial(server)
    request_id = ws.getheaders()["dg-request-id"]
    send(ws, SECOND, CLOSE)
    heard = read(ws)
    assert str(UUID(request_id)) == request_id
    assert heard.finals()[0]["metadata"]["request_id"] == heard.of_type("Metadata")[0]["request_id"] == request_id
    refused = refusal(server, "model=nonsense")
    assert refused.resp_headers
    assert refused.resp_body
    assert refused.resp_headers["dg-request-id"] == json.loads(refused.resp_body)["request_id"] != request_id


@pytest.mark.parametrize(
    ("path", "headers"), [("/health", {}), ("/nowhere", {}), ("/v1/listen", {}), ("/v1/listen", {"Upgrade": "h2c"})]
)
def test_every_response_of_http_has_one_too(server: LocalServer, path: str, headers: dict[str, str]) -> None:
    """What is no websocket at all, and what nobody serves; with the time, by which a client sees how its clock is."""
    response = ask(server, headers, path)
    assert UUID(response.getheader("dg-request-id"))
    assert response.getheader("date")


@pytest.mark.parametrize(
    ("arguments", "echoed"),
    [
        ({"header": ["Authorization: Token the-key"]}, None),
        ({"header": ["Authorization: TOKEN the-key"]}, None),
        ({"header": ["Authorization: bearer the-jwt"]}, None),
        ({"subprotocols": ["token", "the-key"]}, "token"),
        ({"subprotocols": ["bearer", "the-jwt"]}, "bearer"),
    ],
)
def test_each_form_of_authentication_is_known(arguments: dict[str, Any], echoed: str | None) -> None:
    """Header or subprotocol, key or token, the scheme in any case; only the scheme is echoed."""
    for access in ({}, {"api_keys": ["the-key"], "access_tokens": ["the-jwt"]}):
        with LocalServer(ScriptedEngine(), **access) as server:  # type: ignore[arg-type] # both are lists of str
            ws = dial(server, **arguments)
            assert ws.getsubprotocol() == echoed
            ws.shutdown()


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"header": ["Authorization: Token another"]},
        {"header": ["Authorization: the-key"]},
        {"header": ["Authorization: Bearer the-key"]},
        {"header": ["Authorization: Token the-jwt"]},
        {"subprotocols": ["token"]},
        {"subprotocols": ["bearer", "the-key"]},
        {"header": ["Authorization: Token the-key", "Authorization: Token the-key"]},
    ],
)
def test_without_a_right_key_there_is_no_stream(arguments: dict[str, Any]) -> None:
    """Missing, wrong, twice, or a key where a token belongs: 401 INVALID_AUTH."""
    with LocalServer(ScriptedEngine(), api_keys=["the-key"], access_tokens=["the-jwt"]) as server:
        refused = refusal(server, **arguments)
        body = json.loads(refused.resp_body or b"")
        assert (refused.status_code, body["err_code"], body["err_msg"]) == (401, "INVALID_AUTH", "Invalid credentials.")


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("GET /v1/listen", 426),
        pytest.param("POST /v1/listen", 405, marks=answered),
        pytest.param("GET /v1/listen?keyterm=" + "a" * 10_000, 414, marks=answered),
    ],
)
def test_what_is_no_handshake_is_refused_like_everything_else(
    server: LocalServer, request_line: str, status: int
) -> None:
    """With the reason in header and body, and a request id, even if the request was not read to its end."""
    method, _, path = request_line.partition(" ")
    connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
    connection.request(method, path)
    response = connection.getresponse()
    body = json.loads(response.read())
    connection.close()
    assert response.status == status
    assert response.getheader("dg-error") == body["err_msg"]
    assert response.getheader("dg-request-id") == body["request_id"]


def test_a_refusal_says_why_in_header_and_body(server: LocalServer) -> None:
    """Status, ``dg-error``, JSON with a length so that every client reads it, and the end of the connection."""
    request = "".join(f"{name}: {value}\r\n" for name, value in UPGRADE.items())
    with socket.create_connection((server.host, server.port), timeout=60) as client:
        client.sendall(f"GET /v1/listen?punctuate=True HTTP/1.1\r\nHost: here\r\n{request}\r\n".encode())
        response = http.client.HTTPResponse(client)
        response.begin()
        body = response.read()
        assert client.recv(1) == b""  # nothing follows, and the server hangs up
    said = json.loads(body)
    assert response.status == 400
    assert response.getheader("Content-Length") == str(len(body))
    assert response.getheader("Connection") == "close"
    assert said["err_code"] == "INVALID_QUERY_PARAMETER"
    assert response.getheader("dg-error") == said["err_msg"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("punctuate=True", "`punctuate` must be true or false"),
        ("model=nova-3&keywords=x", "Keywords are not supported for Nova-3"),
        ("encoding=linear16", "needs `sample_rate`"),
        ("model=novella", "No such model/version combination found."),
        ("diarize=true&diarize_model=v1", "cannot be used together"),
        ("diarize_model=v2", "`diarize_model`"),
        ("model=flux-general-en", "/v2/listen"),
        ("keyterm=" + "a+" * 501, "Keyterm limit exceeded. The maximum number of tokens across all keyterms is 500."),
        ("utterance_end_ms=1000", "`interim_results=true`"),
    ],
)
def test_a_wrong_query_is_refused_with_the_services_words(server: LocalServer, query: str, message: str) -> None:
    """400, and what is wrong."""
    refused = refusal(server, query)
    body = json.loads(refused.resp_body or b"")
    assert refused.status_code == 400
    assert message in body["err_msg"]


def test_repeated_keys_and_unknown_names_are_read(server: LocalServer) -> None:
    """Lists are repeated keys; a name that is not known is ignored."""
    heard = converse(server, RAW + "&extra=a:b&extra=c:d%20e&keyterm=x&keyterm=y&speech_final=true", [SECOND, CLOSE])
    assert heard.of_type("Metadata")[0]["extra"] == {"a": "b", "c": "d e"}
