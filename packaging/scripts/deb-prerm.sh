
case $1 in
    remove | deconfigure) leave ;;
esac
