#!/bin/busybox sh
# The first process of a guest: mounts, loads modules, sets up the network, then serves jobs that
# the host sends over virtio-serial ports named virtfs.0, virtfs.1, ...  Port 0 takes commands
# about jobs, the others run one job at a time each.

# In the initramfs: what every guest has, then maybe on to another root.
start() {
  /bin/busybox mkdir -p /proc /sys /dev /tmp /mnt /run/jobs /etc /root /sbin /usr/bin /usr/sbin
  # Files of the archive keep their place: --install does not overwrite.
  /bin/busybox --install -s /bin 2>/dev/null

  mount -t proc proc /proc
  mount -t sysfs sysfs /sys
  mount -t devtmpfs devtmpfs /dev
  mkdir -p /dev/pts /dev/shm
  mount -t devpts devpts /dev/pts
  mount -t tmpfs -o mode=1777 tmpfs /dev/shm
  mount -t tmpfs -o mode=1777,size=75% tmpfs /tmp
  exec </dev/console >/dev/console 2>&1
  echo 4 >/proc/sys/kernel/printk
  hostname guest
  ln -sf /proc/self/mounts /etc/mtab

  for module in $(cat /etc/module-order); do
    insmod /lib/modules/"$module".ko || echo "init: cannot insert $module"
  done
  [ ! -e /etc/root ] || switch
}

# Goes on in the root file system that the host named, with our programs in its /run.
switch() {
  { read -r source; read -r options; } </etc/root
  mkdir /newroot
  mount -t 9p -o "$options" "$source" /newroot || { echo "init: cannot mount $source"; poweroff -f; }
  mount -t tmpfs -o mode=755 tmpfs /newroot/run
  mkdir -p /newroot/run/virtfs/bin /newroot/run/jobs
  cp -p /bin/busybox /newroot/run/virtfs/bin/
  cp -p /init /etc/slots /newroot/run/virtfs/
  for folder in proc sys dev tmp; do mount --move /$folder /newroot/$folder; done
  exec switch_root /newroot /run/virtfs/bin/busybox sh /run/virtfs/init in-root
}

export PATH=/usr/local/bin:/bin:/sbin:/usr/bin:/usr/sbin:/run/virtfs/bin HOME=/root
if [ "$1" = in-root ]; then
  slots=/run/virtfs/slots
  /run/virtfs/bin/busybox --install -s /run/virtfs/bin
else
  slots=/etc/slots
  start
fi

ip link set lo up
if [ -e /sys/class/net/eth0 ]; then
  ip addr add 10.0.2.15/24 dev eth0
  ip link set eth0 up
  ip route add default via 10.0.2.2
fi

# Prints the device of the port with the given name, waiting for it to appear.
port_device() {
  tries=0
  while [ $tries -lt 200 ]; do
    for entry in /sys/class/virtio-ports/*; do
      if [ "$(cat "$entry/name" 2>/dev/null)" = "$1" ]; then
        echo "/dev/${entry##*/}"
        return
      fi
    done
    usleep 50000
    tries=$((tries + 1))
  done
  echo "init: no port $1" >/dev/console
}

# Takes exactly $1 bytes from the port; head would read ahead.
take() {
  [ "$1" -eq 0 ] || dd bs="$1" count=1 iflag=fullblock <&3 2>/dev/null
}

serve_jobs() {
  exec 3<>"$(port_device "virtfs.$1")"
  echo READY >&3
  while read -r verb id script_size input_size <&3; do
    [ "$verb" = RUN ] || { echo "init: port $1: unknown $verb" >/dev/console; continue; }
    job=/run/jobs/$id
    take "$script_size" >"$job.sh"
    take "$input_size" >"$job.in"
    # A session of its own, so that ending the job ends what it started.
    setsid sh "$job.sh" <"$job.in" >"$job.out" 2>&1 3>&- &
    echo $! >"$job.pid"
    wait $!
    status=$?
    rm -f "$job.pid"
    size=$(stat -c %s "$job.out")
    echo "DONE $id $status $size" >&3
    # As one block: what a process left behind adds meanwhile is not part of the answer.
    [ "$size" -eq 0 ] || dd if="$job.out" bs="$size" count=1 iflag=fullblock 2>/dev/null >&3
    rm -f "$job".*
  done
}

serve_commands() {
  exec 3<>"$(port_device virtfs.0)"
  echo READY >&3
  while read -r verb id _ <&3; do
    case $verb in
      KILL)
        pid=$(cat "/run/jobs/$id.pid" 2>/dev/null) && kill -9 "-$pid" 2>/dev/null
        echo "DONE $id 0 0" >&3
        ;;
      POWEROFF)
        sync
        poweroff -f
        ;;
    esac
  done
  # The host closed the port: nobody is left to work for.
  poweroff -f
}

for slot in $(seq 1 "$(cat $slots)"); do
  serve_jobs "$slot" &
done
serve_commands &

# Reap orphans forever; a panic message instead of silence if this ever ended.
while true; do
  wait
  sleep 1
done
