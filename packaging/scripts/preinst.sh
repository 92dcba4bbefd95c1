
# dpkg assumes that the operator removed a missing configuration file, and would not install it again.
if [ "$1" = install ] && [ -f "$parked" ] && [ ! -e "$definition" ]; then
    mkdir -p "${definition%/*}"
    cp -p "$parked" "$definition"
fi

case $1 in
    install | upgrade) warn_of_reload ;;
esac
