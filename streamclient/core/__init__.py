"""The decisions: one state machine for the whole stream, without threads, sockets, clocks or plugins."""
