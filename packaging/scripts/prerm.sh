
case $1 in
    remove | deconfigure)
        warn_of_reload
        leave
        ;;
esac
