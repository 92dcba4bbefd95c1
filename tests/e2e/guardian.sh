# Takes away the network namespaces whose names begin with $1, what runs in them, and the folder $2, once whoever holds
# the other end of its input has ended: in good order, by a failed test, by Ctrl-C or by SIGKILL. "keep" keeps the folder.
prefix=$1 folder=$2 word=
read -r word || true
ip netns list | while read -r name _; do
    case $name in
    "$prefix"*)
        ip netns pids "$name" | while read -r pid; do kill -KILL "$pid"; done
        ip netns delete "$name"
        ;;
    esac
done
[ "$word" = keep ] || rm -rf -- "$folder"
