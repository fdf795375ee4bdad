"""The first-party plugins, found through entry points exactly like a stranger's."""
