"""Stand-in for srlinux.mgmt.server.server_error."""


class ServerError(Exception):
    """Raised if the management server refuses a request or does not answer."""
