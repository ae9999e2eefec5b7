# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# The first process of a node. Called inside its namespaces (net, mount, pid, uts, ipc) with:
#   $1 name  $2 the node's directory  $3 the testbed's run directory
set -eu
name=$1 node=$2 run=$3

echo "$name" > /proc/sys/kernel/hostname

# A kubelet, a container runtime and Felix have these paths built in; nothing of it may reach the machine's own.
for path in /var/lib /var/log; do
  mkdir -p "$node/disk$path"
  mount -n --bind "$node/disk$path" "$path"
done
mkdir -p "$node/new-run"
mount -n -t tmpfs -o mode=755 tmpfs "$node/new-run"
case $run in
  /run/*)
    # The run directory would vanish behind the new /run.
    mkdir -p "$node/new-run/${run#/run/}"
    mount -n --bind "$run" "$node/new-run/${run#/run/}"
    ;;
esac
mount -n --move "$node/new-run" /run
mkdir -p /run/sshd /run/calico /var/lib/calico
# Whoever logs in is at home here: the machine's home has what its owner's shell runs at each login.
mkdir -m 700 /run/root
sed 's,^root:.*,root:x:0:0:root:/run/root:/bin/sh,' /etc/passwd > "$node/passwd"
mount -n --bind "$node/passwd" /etc/passwd

mount -n --bind "$run/hosts" /etc/hosts
# An account that was never given a password is locked on many systems, and sshd refuses it without PAM.
sed 's/^root:[^:]*:/root:*:/' /etc/shadow > "$node/shadow"
chmod 600 "$node/shadow"
mount -n --bind "$node/shadow" /etc/shadow

set_sysctl() { echo "$2" > "/proc/sys/net/$1"; }
set_sysctl ipv4/ip_forward 1
set_sysctl ipv6/conf/all/forwarding 1
for interface in all default eth0; do
  set_sysctl "ipv4/conf/$interface/rp_filter" 0
  set_sysctl "ipv6/conf/$interface/accept_dad" 0
done

# A kubelet sets these of the whole machine when they are not as it wants them: it shall find them so.
mask_sysctl() {
  mkdir -p "$node/sysctl"
  echo "$2" > "$node/sysctl/${1#*/}"
  mount -n --bind "$node/sysctl/${1#*/}" "/proc/sys/$1"
}
mask_sysctl vm/overcommit_memory 1
mask_sysctl kernel/panic 10
mask_sysctl kernel/panic_on_oops 1

"$(command -v sshd || echo /usr/sbin/sshd)" -D -e -f "$node/sshd_config" &
# As process 1 it inherits every orphan; waiting is what takes them away.
while :; do
  sleep 3600 &
  wait $! || true
done
