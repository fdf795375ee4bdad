"""Opus packets (RFC 6716, 3.1): how long they are, from their first bytes."""

__all__ = ["RATE", "packet_samples"]

RATE = 48000
"""Opus counts in samples of 48 kHz, whatever was recorded."""


def packet_samples(packet: bytes | bytearray) -> int:
    """Samples that a packet with these first two bytes decodes to."""
    if not packet:
        return 0
    configuration, code = packet[0] >> 3, packet[0] & 3
    if configuration < 12:
        frame = (480, 960, 1920, 2880)[configuration & 3]
    elif configuration < 16:
        frame = (480, 960)[configuration & 1]
    else:
        frame = (120, 240, 480, 960)[configuration & 3]
    frames = 1 if code == 0 else 2 if code < 3 else packet[1] & 0x3F if len(packet) > 1 else 0
    return frame * frames
