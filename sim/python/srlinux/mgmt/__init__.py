"""Stand-in for srlinux.mgmt."""
