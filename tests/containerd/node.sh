#!/usr/bin/env bash
# A Kubernetes node without Kubernetes: containerd with runc and CNI's bridge, in namespaces of its own (mounts, network,
# processes, host name), which vanish with this process, however it ends. Nothing is added to the machine's network.
#
# usage: node.sh FOLDER    FOLDER/ready appears when pods can be made; their socket is /run/containerd/containerd.sock
#                          inside: nsenter -t $(cat FOLDER/pid) -m -n -u -p
set -euo pipefail
folder=$1
here=$(cd "$(dirname "$0")" && pwd)

if [ "${2:-}" != inside ]; then
    "$here/../image.py" "$folder/pause.tar" kcap.local/pause:1 --entry /bin/sleep --entry infinity /bin/sleep=/bin/sleep
    # Becomes unshare itself: whoever kills this process kills all that is inside.
    exec unshare -m -n -u -p --fork --kill-child --propagation private "$0" "$folder" inside
fi

# Read by the shell itself, from the outer /proc: its process as seen from outside.
read -r pid _ </proc/self/stat
echo "$pid" >"$folder/pid"
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mkdir -p /run/netns /run/containerd "$folder"/{lib,sys,cni} /var/lib/containerd /var/lib/cni
mount --bind "$folder/lib" /var/lib/containerd
mount -t tmpfs tmpfs /var/lib/cni
mount -t sysfs sysfs "$folder/sys"
mount --rbind /sys/fs/cgroup "$folder/sys/fs/cgroup"
mount --move "$folder/sys" /sys
mount --make-rshared /
hostname kcap-node
ip link set lo up
sysctl -qw net.ipv4.ip_forward=1

cat >"$folder/config.toml" <<Y
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "kcap.local/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$folder/cni"
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"
Y
cat >"$folder/cni/10-kcap.conflist" <<Y
{"cniVersion": "1.0.0", "name": "kcap", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "mtu": 1450,
   "ipam": {"type": "host-local", "subnet": "10.88.0.0/24", "routes": [{"dst": "0.0.0.0/0"}]}}]}
Y
containerd --config "$folder/config.toml" >"$folder/containerd.log" 2>&1 &
for _ in $(seq 300); do
    ctr version >/dev/null 2>&1 && break
    sleep 0.1
done
ctr -n k8s.io image import "$folder/pause.tar" >/dev/null
touch "$folder/ready"
wait
