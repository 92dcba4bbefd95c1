# The part that the scripts of both formats share; packaging/build puts their last lines after it. Installing and removing
# must work where no SR Linux runs (an image build, a container before its first start) and must never fail because the
# switch does not answer: what could not be done is said, with the command that does it.
# shellcheck shell=sh disable=SC2034 # the last lines use the rest
set -eu

app=k8s-services
user=srlinux
state=/opt/k8s-services/state
credentials=/etc/opt/srlinux/k8s-services
definition=/etc/opt/srlinux/appmgr/k8s-services.yml
# Where a removed package's definition waits for its return: out of app_mgr's sight, as its YANG is gone.
parked=$credentials/k8s-services.yml.removed
management="/ tools system app-management application"

say() {
    echo "srl-k8s-services: $*"
}

# Runs a command in the switch's CLI; 127 when there is none. Bounded: a CLI whose switch does not run may wait for it.
cli() {
    PATH=$PATH:/opt/srlinux/bin
    # An image build may have no /dev/null.
    [ -n "$(command -v sr_cli)" ] || return 127
    if [ -r /etc/profile.d/sr_app_env.sh ] && [ -n "$(command -v bash)" ]; then
        # shellcheck disable=SC2016 # the inner shell's argument
        timeout 60 bash -c '. /etc/profile.d/sr_app_env.sh; exec sr_cli -- "$1"' sr_cli "$1" 2>&1
    else
        timeout 60 sr_cli -- "$1" 2>&1
    fi
}

# Has the switch do something, or says what to do once it runs.
ask() {
    result=0
    answer=$(cli "$1") || result=$?
    if [ "$result" -eq 127 ]; then
        say "SR Linux does not run here; $2"
    elif [ "$result" -ne 0 ] || echo "$answer" | grep -q -e '^Error' -e '^Parsing error'; then
        [ -z "$answer" ] || echo "$answer"
        say "the switch did not take '$1'; when SR Linux runs: sr_cli '$1'"
    fi
}

reload() {
    ask "$management app_mgr reload" "app_mgr reads its applications when it starts"
}

# True while the application is stopped on purpose.
is_stopped() {
    cli "info from state / system app-management application $app state" | grep -q 'state stopped'
}

# app_mgr starts an application anew for a new definition or YANG, not for a new binary.
restart() {
    if is_stopped; then
        say "$app is stopped, and stays so; to start it: sr_cli '$management $app start'"
    else
        ask "$management $app restart" "the new binary runs from the next start on"
    fi
}

# The agent writes its state, and reads credentials it cannot change.
hand_over() {
    if grep -q "^$user:" /etc/passwd; then
        group=$(id -g "$user")
        chown -R "$user:$group" "$state"
        chgrp "$group" "$credentials"
    else
        say "there is no user $user here; on the switch: chown -R $user: $state && chgrp $user $credentials"
    fi
}

# Before the files go: no trap definition may name a script that is not there, and the agent takes leave of the NDK.
leave() {
    if cli "info from running / $app" | grep -q '[^[:space:]]'; then
        say "/$app is still configured, and its YANG goes; delete it first next time: 'delete / $app', 'commit now'"
    fi
    if [ -x /opt/k8s-services/snmp/traps ]; then
        /opt/k8s-services/snmp/traps disable || say "remove k8s_services_traps.yaml from snmp_files_config.yaml by hand"
    fi
    # What Python compiled is in no package's list.
    cache=/etc/opt/srlinux/cli/plugins/__pycache__
    rm -f "$cache"/k8s_services.*.pyc
    [ ! -d "$cache" ] || rmdir --ignore-fail-on-non-empty "$cache"
    ask "$management $app stop" "there is nothing to stop"
}
