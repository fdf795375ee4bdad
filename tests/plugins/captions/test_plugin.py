"""The plugin captions: its options, its file, and who speaks."""

import errno
from pathlib import Path

import attrs
import pytest

from streamclient import (
    Alternative,
    Closed,
    Event,
    FluxOptions,
    ListenOptions,
    Opened,
    PluginError,
    Results,
    Transcript,
    Utterance,
    Word,
)
from streamclient.plugins import load_plugins
from streamclient_plugins.captions import Captions, style_of, to_captions
from tests.plugins.conftest import EVENTS, Play, View
from tests.support.webvtt import read_srt, read_vtt

END = Closed(Transcript())
STEREO = View(options=ListenOptions(multichannel=True))


def said(text: str, start: float = 1.0, end: float = 2.0, channel: int = 0, speaker: int | None = None) -> Utterance:
    """An utterance with its words spread evenly."""
    words = text.split()
    step = (end - start) / len(words)
    timed = (Word(word, start + n * step, start + (n + 1) * step) for n, word in enumerate(words))
    return Utterance(0, start, end, text, tuple(timed), channel, speaker)


def written(play: Play, plugin: str, *events: Event, view: View | None = None) -> str:
    """What the plugin wrote into its only file."""
    assert play(plugin, [Opened(), *events, END], view) == []
    (path,) = Path().iterdir()
    return path.read_text("utf-8")


class OnFullDisk(Captions):
    """Its first cue finds no space."""

    full = True

    def write(self, data: bytes) -> None:
        """Refuse once."""
        if OnFullDisk.full:
            OnFullDisk.full = False
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write(data)


class TestFile:
    def test_webvtt_is_the_default(self, play: Play) -> None:
        """A header, and each cue with the blank line that ends it."""
        assert written(play, "captions", said("Two teas.")) == (
            "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\nTwo teas.\n\n"
        )

    def test_subrip_counts_its_cues(self, play: Play) -> None:
        """From 1, with a comma in the times."""
        assert written(play, "captions:format=srt", said("Two teas."), said("Sugar?", 3, 4)) == (
            "1\n00:00:01,000 --> 00:00:02,000\nTwo teas.\n\n2\n00:00:03,000 --> 00:00:04,000\nSugar?\n\n"
        )

    @pytest.mark.parametrize(
        ("plugin", "name", "is_vtt"),
        [
            ("captions", "stream-1.vtt", True),
            ("captions:format=srt", "stream-1.srt", False),
            ("captions:path=talk.srt", "talk.srt", False),
            ("captions:path={stream_id}.SRT", "stream-1.SRT", False),
            ("captions:path=talk.txt", "talk.txt", True),
            ("captions:path=talk.txt,format=srt", "talk.txt", False),
        ],
    )
    def test_the_path_and_the_format_go_together(self, plugin: str, name: str, is_vtt: bool, play: Play) -> None:
        """Each follows from the other, where only one is given."""
        assert written(play, plugin, said("Two teas.")).startswith("WEBVTT") == is_vtt
        assert Path(name).is_file()

    def test_a_stream_without_a_word_is_a_valid_file(self, play: Play) -> None:
        """A header without cues."""
        assert written(play, "captions") == "WEBVTT\n\n"

    def test_everything_that_can_happen_to_a_stream_is_survived(self, play: Play) -> None:
        """Other events change nothing."""
        assert read_vtt(written(play, "captions", *EVENTS[1:-1])).faults == []

    def test_a_stream_that_never_opened_has_no_file(self, play: Play) -> None:
        """Nor an error."""
        assert play("captions", [END]) == []
        assert list(Path().iterdir()) == []

    def test_each_cue_is_there_at_once(self, play: Play) -> None:
        """A player that follows the file sees it before the next one comes."""
        plugin = Captions(path="talk.vtt")
        assert play(plugin, [Opened(), said("Two teas.")]) == []
        assert Path("talk.vtt").read_text() == "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\nTwo teas.\n\n"
        plugin.close()

    def test_captions_are_not_appended_to_others(self, play: Play) -> None:
        """A second header in the middle is no valid file; so there are two ways only."""
        Path("talk.vtt").write_text("old")
        with pytest.raises(PluginError, match="existing='append' is not allowed; allowed is refuse or overwrite"):
            load_plugins(["captions:path=talk.vtt,existing=append"])
        with pytest.raises(PluginError, match="exists already; set existing=overwrite, or choose another path"):
            load_plugins(["captions:path=talk.vtt"])
        assert written(play, "captions:path=talk.vtt,existing=overwrite") == "WEBVTT\n\n"

    def test_a_plugin_object_can_serve_one_stream_after_another(self, play: Play) -> None:
        """Each file begins anew."""
        plugin = Captions(format="srt")
        for name in ("a", "b"):
            assert play(plugin, [Opened(), said("Two teas."), END], View(id=name)) == []
        assert Path("a.srt").read_text() == Path("b.srt").read_text()

    def test_a_cue_that_a_full_disk_refuses_is_tried_again(self, play: Play) -> None:
        """Nothing is lost and no number is left out, and the failure is reported."""
        plugin = OnFullDisk(format="srt", path="talk.srt")

        ((hook, error),) = play(plugin, [Opened(), said("Two teas."), said("Sugar?", 3, 4), END])

        assert (hook, type(error)) == ("on_utterance", OSError)
        assert [cue.text for cue in read_srt(Path("talk.srt").read_text()).cues] == ["Two teas.", "Sugar?"]


class TestLimits:
    def test_a_preset_can_be_changed(self, play: Play) -> None:
        """Limits given win over the preset's."""
        text = "It would be enough to make them completely easy."
        document = written(play, "captions:preset=608,lines=1,line_length=24", said(text, 0.0, 5.0))
        lines = [cue.text for cue in read_vtt(document).cues]

        assert " ".join(lines) == text
        assert max(map(len, lines)) <= 24

    def test_a_wrong_limit_is_refused_when_configured(self) -> None:
        """Before there is a stream."""
        with pytest.raises(PluginError, match="'captions' cannot be made: 'lines' must be >= 1: 0"):
            load_plugins(["captions:lines=0"])
        with pytest.raises(PluginError, match="allowed is netflix or bbc or 608"):
            load_plugins(["captions:preset=cinema"])


class TestVoices:
    def test_webvtt_names_the_speaker_of_each_cue(self, play: Play) -> None:
        """As a voice, which a player can style and which takes no room."""
        cues = read_vtt(written(play, "captions", said("Tea?", speaker=0), said("No.", 3, 4, speaker=1))).cues
        assert [(cue.voice, cue.text) for cue in cues] == [("Speaker 0", "Tea?"), ("Speaker 1", "No.")]

    def test_subrip_names_the_speaker_where_that_changes(self, play: Play) -> None:
        """In the line, whose length keeps its limit."""
        text = "It would be enough to make them completely easy at last."
        document = written(play, "captions:format=srt", *(
            said(text, start, start + 3, speaker=speaker) for start, speaker in ((0, 0), (5, 0), (10, 1))
        ))  # fmt: skip
        lines = [cue.text.split("\n") for cue in read_srt(document).cues]

        assert [line[0].startswith("[Speaker") for line in lines].count(True) == 2
        assert all(len(line) <= 42 for cue in lines for line in cue)
        assert "".join(" ".join(cue) for cue in lines).count("[Speaker 1] ") == 1

    def test_channels_are_named_too(self, play: Play) -> None:
        """Where there are several."""
        assert "<v Channel 1>" in written(play, "captions", said("Tea?", channel=1), view=STEREO)

    def test_labels_can_be_left_out(self, play: Play) -> None:
        """Only the words remain."""
        document = written(play, "captions:labels=no", said("Tea?", channel=1, speaker=1), view=STEREO)
        assert "<v" not in document

    def test_turns_of_flux_are_captions(self, play: Play) -> None:
        """It has one channel and no speakers."""
        flux = View(options=FluxOptions(model="flux-general-en"))
        assert "\nTea?\n" in written(play, "captions", said("Tea?"), view=flux)


def heard(channel: int, start: float, end: float) -> Results:
    """A final of one of two channels, with a word at this time."""
    word = Word("so", start, start + 0.2)
    return Results(
        0.0,
        end,
        is_final=True,
        channel=channel,
        channels=2,
        alternatives=(Alternative("so", words=(word,)),),
    )


class TestChannels:
    def test_a_caption_waits_for_what_began_earlier_on_another_channel(self, play: Play) -> None:
        """The longer utterance ends last, and stands first in the file."""
        begun = heard(0, 0.5, 3.0)
        document = written(
            play,
            "captions",
            begun,
            heard(1, 1.0, 3.0),
            said("Aha.", 1, 2, channel=1),
            heard(0, 0.5, 4.0),
            said("so it is", 0.5, 4.0),
            view=STEREO,
        )
        assert [(cue.voice, cue.start) for cue in read_vtt(document).cues] == [("Channel 0", 500), ("Channel 1", 1000)]

    def test_without_results_the_starts_still_never_go_back(self, play: Play) -> None:
        """The late one is shown late."""
        read = read_vtt(written(play, "captions", said("Aha.", 1, 2, channel=1), said("so it is", 0.5, 4.0)))
        assert read.faults == []
        assert [cue.start for cue in read.cues] == [1000, 1000]


class TestTranscript:
    TEA = Transcript((said("Two teas.", 1, 2, channel=1), said("Sugar?", 0.2, 0.6, channel=0)))

    def test_a_finished_transcript_is_in_order_of_time(self) -> None:
        """Channels are named where there are several."""
        read = read_vtt(to_captions(self.TEA))
        assert [(cue.voice, cue.text) for cue in read.cues] == [("Channel 0", "Sugar?"), ("Channel 1", "Two teas.")]

    def test_utterances_cut_in_mid_sentence_are_joined(self) -> None:
        """A pause for breath is no reason for a caption of two words; a long one is."""
        cut = Transcript((said("I will have", 0, 1), said("two teas.", 1.3, 2), said("Please.", 8, 9)))
        assert [cue.text for cue in read_vtt(to_captions(cut)).cues] == ["I will have two teas.", "Please."]

    def test_half_a_second_of_silence_parts_utterances(self) -> None:
        """Where nothing is punctuated it is the only sign that a thought has ended."""
        unpunctuated = Transcript((said("in his power to do for", 0, 2), said("he might even have", 2.6, 4)))
        assert len(read_vtt(to_captions(unpunctuated)).cues) == 2

    def test_joined_words_without_spaces_get_none(self) -> None:
        """Where the script has none."""
        cut = Transcript((said("今日は", 0, 1), said("いい天気", 1.1, 2)))
        assert [cue.text for cue in read_vtt(to_captions(cut)).cues] == ["今日はいい天気"]

    def test_speakers_are_not_joined(self) -> None:
        """A change of speaker ends the caption."""
        talk = Transcript((said("Tea?", 0, 1, speaker=0), said("No.", 1.1, 2, speaker=1)))
        assert len(read_vtt(to_captions(talk)).cues) == 2
        assert len(read_vtt(to_captions(talk, labels=False)).cues) == 1

    def test_an_unknown_format_is_refused(self) -> None:
        """With those that are known."""
        with pytest.raises(ValueError, match="there are vtt, srt"):
            to_captions(self.TEA, "ttml")  # type: ignore[arg-type]  # wrong on purpose

    @pytest.mark.parametrize("limit", ["max_duration", "gap"])
    @pytest.mark.parametrize("seconds", [-1.0, float("inf"), float("nan")])
    def test_a_time_without_end_is_refused(self, limit: str, seconds: float) -> None:
        """Before there is a caption that cannot have it."""
        with pytest.raises(ValueError, match=f"'{limit}' must be"):
            style_of(**{limit: seconds})  # type: ignore[arg-type]  # one of them

    def test_an_empty_transcript_is_a_valid_file(self) -> None:
        """For both formats."""
        assert to_captions(Transcript()) == "WEBVTT\n\n"
        assert to_captions(Transcript(), "srt") == ""

    def test_subrip_markup_is_disarmed(self) -> None:
        """What players would take for a tag, a style or a time stays text that looks the same."""
        document = to_captions(Transcript((said("a <b>c {\\an8}d --> e < f"),)), "srt")
        (cue,) = read_srt(document).cues
        assert cue.text == "a <\u2060b>c {\u2060\\an8}d --\u2060> e < f"

    def test_subrip_says_which_lines_run_from_right_to_left(self) -> None:
        """Players take all for the other kind, and show the full stop at the wrong end; labels stay outside."""
        document = to_captions(Transcript((said("הנה אני.", speaker=1), said("Oh: הנה.", 5, 6, speaker=1))), "srt")
        assert [cue.text for cue in read_srt(document).cues] == [
            "[Speaker 1] \u202bהנה אני.\u202c",
            "Oh: הנה.",
        ]


def test_speakers_of_a_channel_share_its_time() -> None:
    """Also without labels, what is shown on one channel never overlaps."""
    talk = attrs.evolve(Transcript(), utterances=(said("Tea?", 0, 1, speaker=0), said("No.", 0.5, 2, speaker=1)))
    first, second = read_vtt(to_captions(talk)).cues
    assert first.end < second.start
