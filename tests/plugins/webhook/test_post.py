"""Posting: signed, verified, bounded in time and size, and never to anybody but who was meant."""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler

import pytest
import standardwebhooks
import trustme

from streamclient_plugins.webhook.addresses import is_public
from streamclient_plugins.webhook.outbox import Letter
from streamclient_plugins.webhook.post import Poster
from streamclient_plugins.webhook.rules import Answer
from streamclient_plugins.webhook.signing import Signer
from streamclient_plugins.webhook.target import Target
from tests.support import receiver as answers
from tests.support.receiver import Receiver, receiving, server_context, status

OLD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEW = "whsec_" + "A" * 40
LETTER = Letter(7, "msg_1", "here", "stream-1", "utterance", '{"type":"stream.utterance","data":"Grüße"}'.encode(), 1.0)

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

BROKEN_OFF = "localhost closed the connection before the end of its answer"

Post = Callable[..., Answer]


@pytest.fixture
def post() -> Iterator[Post]:
    """Post to a receiver; one connection for each."""
    posters: dict[str, Poster] = {}

    def post(receiver: Receiver, now: float | None = None, **options: object) -> Answer:
        if receiver.url not in posters:
            posters[receiver.url] = Poster(Target(receiver.url, **options))  # type: ignore[arg-type]  # a test's own
        return posters[receiver.url].post(LETTER, time.time() if now is None else now)

    yield post
    for poster in posters.values():
        poster.close()


@pytest.fixture
def looking_up(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Set once a look-up of a name has begun, which then hangs until the end of the test."""
    begun, over = threading.Event(), threading.Event()

    def hang(*_: object, **__: object) -> list[object]:
        begun.set()
        over.wait(60)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    yield begun
    over.set()


class TestSignature:
    def test_the_library_of_standard_webhooks_verifies_it(self, post: Post) -> None:
        """With each of the secrets, the old one and the new one, while they change."""
        with receiving() as receiver:
            assert post(receiver, signer=Signer([OLD, NEW])) == Answer(200)

        (got,) = receiver.posts
        for secret in (OLD, NEW):
            assert standardwebhooks.Webhook(secret).verify(got.body, got.headers)["data"] == "Grüße"
        assert (got.id, got.body, got.path) == ("msg_1", LETTER.body, "/hook?token=hidden")
        assert (got.headers["content-type"], got.headers["user-agent"][:13]) == ("application/json", "streamclient/")

    def test_a_changed_post_is_noticed(self, post: Post) -> None:
        """Body, id and time are signed."""
        with receiving() as receiver:
            post(receiver, signer=Signer([OLD]))

        (got,) = receiver.posts
        verifier = standardwebhooks.Webhook(OLD)
        for body, headers in [
            (got.body + b" ", got.headers),
            (got.body, got.headers | {"webhook-id": "msg_2"}),
            (got.body, got.headers | {"webhook-timestamp": str(int(time.time()) + 1)}),
        ]:
            with pytest.raises(standardwebhooks.WebhookVerificationError):
                verifier.verify(body, headers)

    def test_without_a_secret_nothing_is_signed(self, post: Post) -> None:
        """There is no signature that looks like one."""
        with receiving() as receiver:
            post(receiver)

        assert "webhook-signature" not in receiver.posts[0].headers

    @pytest.mark.parametrize(
        "secret", ["", "hush", "whsec_", "whsec_c2hvcnQ=", "whsec_!!!", OLD[6:], "whsec_" + "A" * 100]
    )
    def test_a_wrong_secret_is_refused_without_showing_it(self, secret: str) -> None:
        """What it must be is said."""
        with pytest.raises(ValueError, match="secret must be whsec_ and the base64 of 24 to 64 bytes") as caught:
            Signer([secret])

        assert not secret or secret not in str(caught.value).replace("whsec_ and", "")

    def test_secrets_are_not_shown(self) -> None:
        """By nothing that is printed."""
        target = Target("https://example.org/T0KEN", Signer([OLD]))

        assert "T0KEN" not in repr(target)
        assert repr(target.signer) == "<Signer: 1 secrets>"
        assert target.name.startswith("https://example.org#")


class TestAnswers:
    @pytest.mark.parametrize("code", [200, 204, 299, 302, 400, 410, 500, 503])
    def test_the_status_is_the_answer(self, post: Post, code: int) -> None:
        """Whatever it is; nothing is followed."""
        with receiving() as elsewhere, receiving([status(code, Location=elsewhere.url)]) as receiver:
            assert post(receiver).status == code

        assert len(receiver.posts) == 1
        assert elsewhere.posts == []

    def test_retry_after_is_read(self, post: Post) -> None:
        """In both forms."""
        with receiving(
            [status(429, Retry_After="120"), status(503, Retry_After="Fri, 15 Jan 2027 08:01:00 GMT")]
        ) as receiver:
            assert post(receiver, now=1_800_000_000.0) == Answer(429, retry_after=120)
            assert post(receiver, now=1_800_000_000.0) == Answer(503, retry_after=60)

    @pytest.mark.parametrize(
        ("answer", "error"),
        [
            (answers.silence, BROKEN_OFF),
            (answers.reset, "no connection with localhost: Connection reset by peer"),
            (answers.half_head, BROKEN_OFF),
            (answers.raw(b"HTTP/1.1 200 OK\r\n"), BROKEN_OFF),
            (answers.raw(b"HTTP/1.1 100 Continue\r\n\r\n"), BROKEN_OFF),
            (answers.raw(CHUNKED + b"2\r\nok\r\n"), BROKEN_OFF),
            (answers.raw(CHUNKED + b"9\r\nok"), BROKEN_OFF),
            (answers.half_body, BROKEN_OFF),
            (answers.garbage, "localhost does not answer in HTTP"),
            (answers.raw(b"HTTP/1.1 200 " + b"O" * 99_999), "localhost does not answer in HTTP"),
        ],
    )
    def test_what_is_no_whole_answer_is_none(self, post: Post, answer: answers.Answerer, error: str) -> None:
        """The receiver may have died in the middle of its work. The next post gets a connection of its own."""
        with receiving([answer]) as receiver:
            assert post(receiver) == Answer(error=error)
            assert post(receiver) == Answer(200)

    @pytest.mark.parametrize(
        "body",
        [
            CHUNKED + b"2\r\nok\r\n0\r\n\r\n",
            b"HTTP/1.0 200 OK\r\n\r\nto the end",
            b"HTTP/1.1 204\r\n\r\n",
            b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ],
    )
    def test_every_form_of_a_whole_answer_is_one(self, post: Post, body: bytes) -> None:
        """In chunks, up to the end of the connection, without a body, and after one that is not the last."""
        with receiving([answers.raw(body)]) as receiver:
            assert post(receiver).is_success

    def test_nobody_there(self, post: Post) -> None:
        """The error says so."""
        with receiving() as receiver:
            pass

        assert post(receiver) == Answer(error="no connection with localhost: Connection refused")

    def test_a_name_that_does_not_exist(self) -> None:
        """The error names it."""
        answer = Poster(Target("http://nowhere.invalid/")).post(LETTER, 1.0)

        assert answer.error.startswith("the address of nowhere.invalid cannot be found: ")

    def test_one_connection_is_kept(self, post: Post) -> None:
        """Many events are posted one after the other."""
        with receiving() as receiver:
            for _ in range(3):
                assert post(receiver) == Answer(200)

        assert receiver.connections == 1


class TestBounds:
    @pytest.mark.parametrize(
        "drip", [b"", b"H", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"]
    )
    def test_a_post_ends_in_time(self, post: Post, drip: bytes) -> None:
        """Even where the receiver says something all the time, in the head or in the body."""
        done = threading.Event()

        def slowly(handler: BaseHTTPRequestHandler) -> bool:
            handler.wfile.write(drip)
            while not done.wait(0.02):
                handler.wfile.write(b"x")
            return False

        with receiving([slowly]) as receiver:
            before = time.monotonic()
            answer = post(receiver, timeout=1.0)
            done.set()

        assert answer == Answer(error="no whole answer of localhost within 1 s")
        assert time.monotonic() - before < 30

    def test_an_answer_without_end_is_not_read_to_its_end(self, post: Post) -> None:
        """It is an answer all the same; the next post has a new connection."""

        def much(handler: BaseHTTPRequestHandler) -> bool:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n")
            try:
                while True:
                    handler.wfile.write(bytes(65536))
            except OSError:
                handler.close_connection = True
            return True

        with receiving([much]) as receiver:
            assert post(receiver) == Answer(200)
            assert post(receiver) == Answer(200)

        assert receiver.connections == 2

    def test_a_post_can_be_cut(self, post: Post) -> None:
        """By another thread, while nobody answers."""
        asked = threading.Event()

        def hang(handler: BaseHTTPRequestHandler) -> bool:
            asked.set()
            return answers.hang(handler)

        with receiving([hang]) as receiver:
            poster = Poster(Target(receiver.url, timeout=60))
            cutter = threading.Thread(target=lambda: [asked.wait(30), poster.cut()])  # type: ignore[func-returns-value]
            cutter.start()
            before = time.monotonic()
            answer = poster.post(LETTER, 1.0)
            cutter.join()
            poster.close()

        assert not answer.is_success
        assert time.monotonic() - before < 30
        assert not poster.post(LETTER, 1.0).is_success

    def test_a_greeting_can_be_cut(self) -> None:
        """That of TLS, which nobody answers."""
        with closing(socket.create_server(("127.0.0.1", 0))) as server:
            poster = Poster(Target(f"https://127.0.0.1:{server.getsockname()[1]}/", timeout=60))
            said: list[Answer] = []
            thread = threading.Thread(target=lambda: said.append(poster.post(LETTER, 1.0)))
            before = time.monotonic()
            thread.start()
            with closing(server.accept()[0]) as greeted:
                assert greeted.recv(1)
                poster.cut()
                thread.join()
            poster.close()

        assert not said[0].is_success
        assert time.monotonic() - before < 30

    def test_a_look_up_ends_in_time(self, looking_up: threading.Event) -> None:
        """Of a name whose servers do not answer; the system itself would wait for them much longer."""
        before = time.monotonic()
        answer = Poster(Target("http://hangs.example/", timeout=0.2)).post(LETTER, 1.0)

        assert looking_up.is_set()
        assert answer.error == "no whole answer of hangs.example within 0.2 s"
        assert time.monotonic() - before < 10

    def test_a_look_up_can_be_cut(self, looking_up: threading.Event) -> None:
        """By another thread, as everything else."""
        poster = Poster(Target("http://hangs.example/", timeout=30))
        cutter = threading.Thread(target=lambda: [looking_up.wait(30), poster.cut()])  # type: ignore[func-returns-value]
        cutter.start()
        before = time.monotonic()
        answer = poster.post(LETTER, 1.0)
        cutter.join()

        assert not answer.is_success
        assert time.monotonic() - before < 10

    def test_a_name_is_looked_up_while_the_interpreter_exits(self, post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
        """There are no new threads any more then, and the last events are still to be delivered."""
        start = threading.Thread.start

        def refuse(thread: threading.Thread) -> None:
            if "look-up" in thread.name:
                raise RuntimeError("can't create new thread at interpreter shutdown")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", refuse)
        with receiving() as receiver:
            assert post(receiver) == Answer(200)

    def test_a_connection_that_was_left_is_replaced(self, post: Post) -> None:
        """The receiver has closed it while nothing was to say."""
        with receiving() as receiver:
            assert post(receiver) == Answer(200)
            receiver.hang_up()
            assert post(receiver) == Answer(200)

        assert receiver.connections == 2

    def test_a_connection_that_was_not_used_for_long_is_replaced(
        self, post: Post, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Routers forget such a one without a word, and the next post would wait for nobody."""
        monkeypatch.setattr("streamclient_plugins.webhook.wire.IDLE", 0.0)
        with receiving() as receiver:
            assert [post(receiver), post(receiver)] == [Answer(200)] * 2

        assert receiver.connections == 2


class TestTls:
    @pytest.fixture
    def authority(self) -> trustme.CA:
        """A certificate authority of our own."""
        return trustme.CA()

    def test_a_trusted_certificate(self, post: Post, authority: trustme.CA) -> None:
        """Of an authority of the user's own; the connection is kept."""
        with authority.cert_pem.tempfile() as file, receiving(tls=server_context(authority)) as receiver:
            assert [post(receiver, ca_file=file), post(receiver), post(receiver)] == [Answer(200)] * 3

        assert receiver.connections == 1

    def test_an_unknown_authority(self, post: Post, authority: trustme.CA) -> None:
        """Nothing is sent."""
        with receiving(tls=server_context(authority)) as receiver:
            error = post(receiver).error

        assert error.startswith("the certificate of localhost is not accepted: unable to get local issuer certificate")
        assert receiver.posts == []

    def test_the_certificate_of_somebody_else(self, post: Post, authority: trustme.CA) -> None:
        """Nothing is sent."""
        context = server_context(authority, "example.org")
        with authority.cert_pem.tempfile() as file, receiving(tls=context) as receiver:
            error = post(receiver, ca_file=file).error

        assert error.startswith("the certificate of localhost is not accepted: Hostname mismatch")
        assert receiver.posts == []

    def test_no_tls_at_all(self) -> None:
        """Nothing is sent in the clear."""
        with receiving() as receiver:
            answer = Poster(Target(f"https://localhost:{receiver.server_port}/")).post(LETTER, 1.0)

        assert answer.error.startswith("no TLS with localhost: ")
        assert receiver.posts == []


class TestAddresses:
    @pytest.mark.parametrize(
        "address",
        ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
         "255.255.255.255", "::1", "::", "fe80::1%eth0", "fd00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
         "64:ff9b::10.0.0.1", "64:ff9b:1::8.8.8.8", "2002:0a00:0001::1", "fec0::1", "::127.0.0.1", "::ffff:0:10.0.0.1",
         "4000::1"],
    )  # fmt: skip
    def test_inner_addresses_are_not_public(self, address: str) -> None:
        """Also where IPv6 stands for one."""
        assert not is_public(address)

    @pytest.mark.parametrize(
        "address", ["93.184.216.34", "8.8.8.8", "2606:4700::6810:84e5", "64:ff9b::8.8.8.8", "::ffff:8.8.8.8"]
    )
    def test_others_are(self, address: str) -> None:
        """The internet."""
        assert is_public(address)

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "2130706433", "0x7f.1", "[::1]"])
    def test_a_private_receiver_can_be_refused(self, host: str) -> None:
        """However its address is written."""
        with receiving() as receiver:
            answer = Poster(Target(f"http://{host}:{receiver.server_port}/", allow_private=False)).post(LETTER, 1.0)

        assert receiver.connections == 0
        assert not answer.is_success
        assert "has no public address, and allow_private is false" in answer.error or "cannot be found" in answer.error

    def test_an_address_where_nobody_answers_leaves_time_for_the_next(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As with a name whose IPv6 leads nowhere from here."""
        with closing(socket.create_server(("127.0.0.1", 0), backlog=0)) as full, receiving() as receiver:
            # It has its one connection, and the next is not even refused.
            queued = socket.create_connection(full.getsockname())
            places = [full.getsockname(), ("127.0.0.1", receiver.server_port)]
            found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place) for place in places]
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

            with closing(queued), closing(Poster(Target("http://two.example/", timeout=4.0))) as poster:
                assert poster.post(LETTER, 1.0) == Answer(200)

    def test_the_address_that_was_checked_is_the_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A name that is public when it is looked at and private a moment later leads nowhere."""
        asked: list[str] = []
        dialled: list[str] = []

        def resolve(host: str, port: int, **_: object) -> list[object]:
            asked.append(host)
            address = "203.0.114.1" if len(asked) == 1 else "127.0.0.1"
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

        def connect(_: socket.socket, address: tuple[str, int]) -> None:
            dialled.append(address[0])
            raise ConnectionRefusedError(111, "Connection refused")

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        monkeypatch.setattr(socket.socket, "connect", connect, raising=False)

        Poster(Target("http://rebind.example/", allow_private=False)).post(LETTER, 1.0)

        assert (asked, dialled) == (["rebind.example"], ["203.0.114.1"])


class TestUrls:
    @pytest.mark.parametrize(
        "url",
        ["", "example.org", "ftp://example.org/", "http://", "http:///x", "http://h:0/", "http://h:99999/",
         "http://h/ x", "http://h/\n", "http://münchen.de/", "http://h/\r\nX: y",
         "http://a..b/", "https://.example.org/", f"http://{'a' * 64}.org/"],
    )  # fmt: skip
    def test_what_is_no_url_is_refused_without_showing_it(self, url: str) -> None:
        """It may hold a secret."""
        with pytest.raises(
            ValueError, match=r"^url must be http://host/path or https://host/path, in ASCII without spaces$"
        ):
            Target(url)

    def test_a_password_in_a_url_is_refused(self) -> None:
        """It would be sent to nobody."""
        with pytest.raises(ValueError, match="url must not hold a user or a password") as caught:
            Target("https://me:pa55@example.org/")

        assert "pa55" not in str(caught.value)

    def test_a_secret_path_is_in_no_log_and_no_error(self, post: Post, caplog: pytest.LogCaptureFixture) -> None:
        """Not even at the finest level, nor when the receiver repeats it, or its answer is broken."""
        broken_head = answers.raw(b"HTTP/1.1 500 No\r\nBad Header\r\nContent-Length: 0\r\n\r\n")
        with caplog.at_level(logging.DEBUG):
            echo = status(302, Location="/hook/?token=hidden")
            with receiving(
                [echo, broken_head, answers.garbage, answers.raw(b"/hook?token=hidden\r\n\r\n")]
            ) as receiver:
                said = [str(post(receiver)) for _ in range(4)]
            said.append(str(post(receiver)))

        assert "hidden" not in caplog.text + "".join(said)
