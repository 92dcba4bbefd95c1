
case $1 in
    remove)
        if [ -f "$definition" ]; then
            mkdir -p "$credentials"
            mv "$definition" "$parked"
        fi
        reload
        ;;
    purge)
        rm -rf "$state" "$credentials"
        [ ! -d /opt/k8s-services ] || rmdir --ignore-fail-on-non-empty /opt/k8s-services
        ;;
esac
