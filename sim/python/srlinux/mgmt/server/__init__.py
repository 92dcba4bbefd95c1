"""Stand-in for srlinux.mgmt.server."""
