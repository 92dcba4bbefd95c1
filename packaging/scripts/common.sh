# The common part of the package's scripts; packaging/build appends the lines of each script to it. Installing and
# removing must work if SR Linux does not run (in an image build, or in a container before its first start), and must
# never fail because the switch does not answer: the scripts print what could not be done, with the command that does
# it.
# shellcheck shell=sh disable=SC2034 # the last lines use the rest
set -eu

app=k8s-services
user=srlinux
state=/opt/k8s-services/state
credentials=/etc/opt/srlinux/k8s-services
definition=/etc/opt/srlinux/appmgr/k8s-services.yml
# Where the definition of a removed package is kept until the package is installed again: out of app_mgr's sight,
# because the YANG it needs is removed.
parked=$credentials/k8s-services.yml.removed
management="/ tools system app-management application"

say() {
    echo "srl-k8s-services: $*"
}

# Runs a command in the switch's CLI; returns 127 if there is no CLI. The time is limited, because a CLI may wait for a
# switch that does not run.
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

# Succeeds while the management server restarts, which it does to load YANG: it refuses commands with a message about
# the reload, or the CLI does not connect. Devices have been seen to take up to two minutes.
is_reloading() {
    [ "$result" -ne 127 ] && echo "$answer" | grep -q -i -e 'yang reload' -e 'reload in progress' -e 'connect'
}

# Runs a command on the switch, or prints what to do once the switch runs. Waits while the management server restarts.
ask() {
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24; do
        result=0
        answer=$(cli "$1") || result=$?
        is_reloading || break
        sleep 5
    done
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

# Succeeds if the application was stopped on purpose.
is_stopped() {
    cli "info from state / system app-management application $app state" | grep -q 'state stopped'
}

# app_mgr restarts an application for a new definition or new YANG, but not for a new binary. Its own `restart` kills
# the application; if the agent is stopped instead, it unregisters and its state leaves the switch.
restart() {
    if is_stopped; then
        say "$app is stopped, and stays so; to start it: sr_cli '$management $app start'"
    else
        ask "$management $app stop" "the new binary runs from the next start on"
        [ "$result" -eq 127 ] || ask "$management $app start" "app_mgr starts it with the switch"
    fi
}

# A reload of app_mgr restarts the management server, which on some releases then replays the startup configuration.
warn_of_reload() {
    [ "$(PATH=$PATH:/opt/srlinux/bin command -v sr_cli)" ] || return 0
    say "app_mgr reloads: CLI and gNMI sessions drop for up to two minutes, forwarding is not touched; on some releases"
    say "configuration that was not saved is lost: where the prompt shows '+', abort here and 'save startup' first"
}

# Changes owners: the agent writes its state, and reads credentials that it cannot change. The agent's user can put
# anything into the folder of the state, so nothing that may be a link to another file is handed over.
hand_over() {
    if grep -q "^$user:" /etc/passwd; then
        group=$(id -g "$user")
        # As root, the agent uses no folder that another user could change.
        owner=$user
        ! grep -q '^ *run-as-user: *root' "$definition" || owner=root
        chown -h "$owner:$group" "$state"
        hand_over_file "$state/state.json"
        chgrp "$group" "$credentials"
    else
        say "there is no user $user here; on the switch: chown -h $user: $state && chgrp $user $credentials"
    fi
}

# Changes the owner of a file that has no other name.
hand_over_file() {
    [ -e "$1" ] || [ -L "$1" ] || return 0
    if [ -f "$1" ] && [ ! -L "$1" ] && [ "$(stat -c %h "$1")" -eq 1 ]; then
        chown -h "$owner:$group" "$1"
    else
        say "$1 is not a file of its own, and keeps its owner: remove it"
    fi
}

# Runs before the files are removed: no trap definition may name a script that does not exist, and the agent must
# unregister from the NDK.
leave() {
    if cli "info from running / $app" | grep -q '[^[:space:]]'; then
        say "/$app is still configured, and its YANG goes; delete it first next time: 'delete / $app', 'commit now'"
    fi
    if [ -x /opt/k8s-services/snmp/traps ]; then
        /opt/k8s-services/snmp/traps disable || say "remove k8s_services_traps.yaml from snmp_files_config.yaml by hand"
    fi
    # Files that Python compiled are in no package's list.
    cache=/etc/opt/srlinux/cli/plugins/__pycache__
    rm -f "$cache"/k8s_services.*.pyc
    [ ! -d "$cache" ] || rmdir --ignore-fail-on-non-empty "$cache"
    ask "$management $app stop" "there is nothing to stop"
}
