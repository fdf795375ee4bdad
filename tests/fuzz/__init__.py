"""Hostile input: what each side does with bytes that nobody should send.

``test_fuzz.py`` tries each target for a bounded time in the suite. By hand, for as long as wanted, and guided by
coverage where atheris is installed: ``python -m tests.fuzz TARGET --seconds 600``.
"""
