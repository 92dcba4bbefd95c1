
case $1 in
    configure)
        hand_over
        reload
        # The second argument is the version configured before: also one that was removed, and left its definition parked.
        if [ -f "$parked" ]; then
            rm "$parked"
        elif [ -n "${2:-}" ]; then
            restart
        fi
        ;;
    abort-remove) ask "$management $app start" "app_mgr starts it with the switch" ;;
esac
