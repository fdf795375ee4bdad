"""Guarantee 6: a certificate that is not trusted says why, and whom the client trusts."""

import datetime as dt
import logging
import ssl
import threading
from contextlib import AbstractContextManager
from typing import Any

import pytest
import trustme

from streamclient import ConnectError, ReconnectPolicy, StreamClient, StreamClientError, TransportOptions
from tests.support.failures import KEY, RAW, SECOND, Failure, check, fails_to_open
from tests.support.service import SOON, Call, final, metadata, serving


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """The authority that the servers' certificates are of."""
    return trustme.CA()


def serving_with(certificate: trustme.LeafCert) -> AbstractContextManager[Any]:
    """A service with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return serving(tls=context)


def distrusted(certificate: trustme.LeafCert, transport: TransportOptions) -> StreamClientError:
    """The error of a client that is shown this certificate."""
    with serving_with(certificate) as service:
        return fails_to_open({"url": service.url, "transport": transport})


def test_an_unknown_authority_names_the_file_that_was_trusted(
    authority: trustme.CA, tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The error says where the trusted authorities come from, and how to name others."""
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    certificate = authority.issue_cert("localhost")
    ours = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    for transport, trusted in (
        (TransportOptions(), str(paths.cafile or paths.capath)),
        (TransportOptions(ca_file=str(other)), str(other)),
        (TransportOptions(ssl_context=ours), "ssl_context"),
    ):
        expected = Failure(
            kind=ConnectError,
            says=("certificate of localhost:", "unable to get local issuer", "ca_file=", "SSL_CERT_FILE"),
            hint=trusted,
            retryable=False,
        )
        check(distrusted(certificate, transport), expected, caplog)


def test_a_missing_file_of_the_environment_is_named(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """SSL_CERT_FILE that leads nowhere trusts nobody, which is hard to guess."""
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/file.pem")
    error = distrusted(authority.issue_cert("localhost"), TransportOptions())

    expected = Failure(kind=ConnectError, hint="SSL_CERT_FILE=/no/such/file.pem, which is not there", retryable=False)
    check(error, expected, caplog)


def test_a_certificate_of_another_name_or_time_is_no_matter_of_authorities(
    authority: trustme.CA, tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The hint is about what is wrong: the host, or the clock."""
    trusted = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(trusted))
    transport = TransportOptions(ca_file=str(trusted))
    past = dt.datetime(2001, 1, 1, tzinfo=dt.timezone.utc)
    expired = authority.issue_cert("localhost", not_before=past, not_after=past + dt.timedelta(days=1))
    for certificate, text, hint in (
        (authority.issue_cert("elsewhere.example"), "mismatch", "another name"),
        (expired, "expired", "clock"),
    ):
        expected = Failure(kind=ConnectError, says=(text,), hint=hint, retryable=False)
        check(distrusted(certificate, transport), expected, caplog)


def test_a_certificate_that_is_wrong_for_a_while_is_an_attempt_in_vain(authority: trustme.CA, tmp_path: Any) -> None:
    """A stream that stood outlasts a portal that puts itself in front of the service, and the key never goes to it."""
    trusted = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(trusted))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours, portals = authority.issue_cert("localhost"), trustme.CA().issue_cert("localhost")
    ours.configure_cert(context)
    in_vain = threading.Event()

    class Watching(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "not trusted" in record.getMessage():
                ours.configure_cert(context)
                in_vain.set()

    def break_once(call: Call) -> None:
        call.read()
        if len(service.calls) == 1:
            portals.configure_cert(context)
            call.reset()
        call.read_until()
        call.end(final("word", 0.0, 1.0), metadata())

    watching = Watching()
    logging.getLogger("streamclient.session").addHandler(watching)
    try:
        with serving(break_once, context) as service:
            quick = ReconnectPolicy(initial_delay=0.001, max_delay=0.005)
            transport = TransportOptions(ca_file=str(trusted))
            client = StreamClient(RAW, url=service.url, api_key=KEY, transport=transport, reconnect=quick)
            client.open()
            client.send(SECOND)
            assert client.close(timeout=SOON).complete
            assert len(service.calls) == 2
    finally:
        logging.getLogger("streamclient.session").removeHandler(watching)
    assert in_vain.is_set()
