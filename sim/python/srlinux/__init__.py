"""A stand-in for the modules of the SR Linux CLI that plugins build on: what of them is published, no more.

It is strict where the CLI is: an argument, a field or a path that was not declared is an error, not an empty answer.
"""
