# Waits until the other end of its input is closed, because its holder has ended: regularly, by a failed test, by Ctrl-C
# or by SIGKILL. It then removes the network namespaces whose names begin with $1, the processes in them, the processes
# whose command line has a path in folder $2, and the folder itself; "keep" keeps the folder.
prefix=$1 folder=$2 word=
read -r word || true
for cmdline in /proc/[0-9]*/cmdline; do
    if grep -qsF -- "$folder/" "$cmdline"; then
        pid=${cmdline#/proc/}
        kill -KILL "${pid%/cmdline}" 2>/dev/null
    fi
done
for path in /run/netns/"$prefix"*; do
    [ -e "$path" ] || continue
    name=${path##*/}
    ip netns pids "$name" | while read -r pid; do kill -KILL "$pid" 2>/dev/null; done
    ip netns delete "$name"
done
[ "$word" = keep ] || rm -rf -- "$folder"
