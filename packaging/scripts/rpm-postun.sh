
# An rpm has no purge: what the agent remembered goes with it. Credentials are the operator's.
if [ "$1" -eq 0 ]; then
    rm -rf "$state"
    [ ! -d /opt/k8s-services ] || rmdir --ignore-fail-on-non-empty /opt/k8s-services
    [ ! -d "$credentials" ] || say "$credentials holds credentials and is left"
    reload
fi
