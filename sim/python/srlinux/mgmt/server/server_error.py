"""Stand-in, see srlinux."""


class ServerError(Exception):
    """The management server refused or is away."""
