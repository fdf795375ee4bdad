"""The key or token: where it comes from, and that it is seen nowhere else."""

from typing import Any

import pytest

from streamclient.errors import AuthenticationError, ConnectError, OptionsError
from streamclient.wire.credentials import Credentials

SECRET = "sk-very-secret"
DEEPGRAM = "api.deepgram.com"


def test_key_is_a_token_and_token_a_bearer() -> None:
    """The service knows keys by the scheme Token and temporary tokens by Bearer."""
    assert Credentials(SECRET, None).header(DEEPGRAM) == ("Token", SECRET)
    assert Credentials(None, SECRET).header(DEEPGRAM) == ("Bearer", SECRET)


def test_callable_is_asked_before_every_connection() -> None:
    """A temporary token is fetched anew each time, and not before it is needed."""
    tokens = iter(["first", "second"])
    credentials = Credentials(None, lambda: next(tokens))
    assert credentials.header(DEEPGRAM) == ("Bearer", "first")
    assert credentials.header(DEEPGRAM) == ("Bearer", "second")


def test_key_of_the_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """DEEPGRAM_API_KEY is used where neither key nor token is given."""
    monkeypatch.setenv("DEEPGRAM_API_KEY", f"{SECRET}\n")
    assert Credentials(None, None).header(DEEPGRAM) == ("Token", SECRET)
    assert Credentials("mine", None).header(DEEPGRAM) == ("Token", "mine")
    assert Credentials(None, "mine").header(DEEPGRAM) == ("Bearer", "mine")


@pytest.mark.parametrize("value", ["", "  "])
def test_empty_key_of_the_environment_is_none(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """A variable that is set to nothing is as good as unset."""
    monkeypatch.setenv("DEEPGRAM_API_KEY", value)
    assert Credentials(None, None).header("localhost") is None


def test_wrong_key_of_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says which variable is wrong, and not its value."""
    monkeypatch.setenv("DEEPGRAM_API_KEY", f"{SECRET} and more")
    with pytest.raises(OptionsError, match="DEEPGRAM_API_KEY") as caught:
        Credentials(None, None)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("host", ["api.deepgram.com", "api.eu.deepgram.com", "deepgram.com"])
def test_service_needs_a_key(host: str) -> None:
    """Without key and token nothing is sent to Deepgram; the error says what to do."""
    with pytest.raises(AuthenticationError, match="DEEPGRAM_API_KEY"):
        Credentials(None, None).header(host)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "notdeepgram.com", "deepgram.com.example.org"])
def test_other_servers_need_none(host: str) -> None:
    """A self-hosted service checks no key."""
    assert Credentials(None, None).header(host) is None


@pytest.mark.parametrize("wrong", ["", " ", "two words", "two\nlines", "tab\there", "Schlüssel", "nul\0", b"bytes", 17])
def test_secret_is_text_of_one_line(wrong: Any) -> None:
    """What cannot go into a header is refused before any connection, without being shown."""
    for key, token in ((wrong, None), (None, wrong)):
        with pytest.raises(OptionsError) as caught:
            Credentials(key, token)
        assert not str(wrong).strip() or str(wrong) not in str(caught.value)


def test_key_and_token_together_are_refused() -> None:
    """It would not be clear which of the two is meant."""
    with pytest.raises(OptionsError, match="both"):
        Credentials("key", "token")


def test_line_end_of_a_file_is_not_part_of_the_secret() -> None:
    """A key read from a file brings its line end along."""
    assert Credentials(f"{SECRET}\r\n", None).header(DEEPGRAM) == ("Token", SECRET)


@pytest.mark.parametrize(
    ("credentials", "shown"),
    [
        (Credentials(SECRET, None), "<Credentials: api_key>"),
        (Credentials(None, SECRET), "<Credentials: access_token>"),
        (Credentials(None, lambda: SECRET), "<Credentials: access_token>"),
    ],
)
def test_repr_shows_no_secret(credentials: Credentials, shown: str) -> None:
    """A log of the object tells its kind only."""
    assert repr(credentials) == shown


@pytest.mark.parametrize("bug", [LookupError("no vault"), SystemExit(3)])
def test_failing_callable_is_a_connect_error(bug: BaseException) -> None:
    """The callable's exception, of whatever kind, is the cause; trying again may help."""

    def ask() -> str:
        raise bug

    with pytest.raises(ConnectError, match=type(bug).__name__) as caught:
        Credentials(None, ask).header(DEEPGRAM)
    assert caught.value.__cause__ is bug
    assert caught.value.retryable


@pytest.mark.parametrize("token", ["", None, f"{SECRET} twice", 5])
def test_callable_that_returns_no_token_is_a_connect_error(token: Any) -> None:
    """A useless token is found before it is sent, and is not shown."""
    with pytest.raises(ConnectError, match="returned no token") as caught:
        Credentials(None, lambda: token).header(DEEPGRAM)
    assert SECRET not in f"{caught.value}{caught.value.__cause__}"
