"""Stand-in, see srlinux."""
