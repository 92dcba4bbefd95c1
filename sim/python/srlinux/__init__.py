"""Stand-in for the modules of the SR Linux CLI that plugins import. It has only what is publicly documented.

Like the CLI, it is strict: an argument, field or path that was not declared is an error, not an empty result.
"""
