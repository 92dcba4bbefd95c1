
[ "$1" -gt 0 ] || leave
