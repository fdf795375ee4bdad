"""The threads around the state machine: who owns what, and who never waits for whom."""
