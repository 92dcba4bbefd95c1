
case $1 in
    configure)
        hand_over
        reload
        # The second argument is the version that was configured before. It is also set if that version was removed and
        # its definition is still kept.
        if [ -f "$parked" ]; then
            rm "$parked"
        elif [ -n "${2:-}" ]; then
            restart
        fi
        ;;
    abort-remove) ask "$management $app start" "app_mgr starts it with the switch" ;;
esac
