"""Where a stream of audio can be taken up again: from bytes to the seconds they begin at, container by container."""

from streamclient.core.containers.track import Place, RawTrack, Track, track_for

__all__ = ["Place", "RawTrack", "Track", "track_for"]
