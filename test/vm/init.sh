#!/bin/busybox sh
# The guest's first process. A root in the initramfs cannot be left by pivot_root, which
# containers do: so it moves to a tmpfs first.
export PATH=/bin:/sbin
if [ "$1" != moved ]; then
  /bin/busybox --install -s /bin
  mount -t tmpfs -o size=90% tmpfs /new
  cp -a /bin /lib /tests /init /new/
  for dir in /lib64 /usr; do [ -d $dir ] && cp -a $dir /new/; done
  mkdir -p /new/disk /new/usr/share /new/proc /new/sys /new/dev /new/tmp /new/etc /new/root /new/run /new/var
  exec switch_root /new /init moved
fi
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ln -sf /proc/self/fd /dev/fd
for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do
  echo "+$controller" > /sys/fs/cgroup/cgroup.subtree_control
done
for module in /lib/modules/*.ko; do insmod "$module"; done
[ -b /dev/vda ] && mount -t ext4 /dev/vda /disk && chmod 1777 /disk
echo 'root:x:0:0:root:/root:/bin/sh' > /etc/passwd
echo 'nobody:x:65534:65534:nobody:/:/bin/sh' >> /etc/passwd
echo 'root:x:0:' > /etc/group
ip link set lo up
hostname guest
echo "VM: Linux $(uname -r), controllers $(cat /sys/fs/cgroup/cgroup.subtree_control)"
cd /tmp

# run NAME -test.run PATTERN FLAG...: one test program. Its output is kept together: who writes to the console holds
# its lock.
# Alternatives of -test.skip that name whole tests come first: one with a slash hides those behind it.
run() {
  name=$1 what=$(echo "$3" | tr -c 'A-Za-z0-9\n' - | sed 's/--*/-/g; s/^-//; s/-$//') && shift
  what=${what:-all}
  if "/tests/$name" -test.v -test.timeout 600s "$@" > "/tmp/$name.$what" 2>&1; then verdict=passed; else verdict=failed; fi
  until mkdir /tmp/console 2> /dev/null; do sleep 0.1; done
  cat "/tmp/$name.$what"
  echo "VM: $name $what $verdict"
  rmdir /tmp/console
}
# Counting page faults has the kernel write over its own code, also a second after the last counter is closed. An
# emulated processor that is just there may see the old code for good, and both stand still: so one is alone meanwhile.
second=/sys/devices/system/cpu/cpu1/online
[ -f $second ] && echo 0 > $second
run agent-isolators-perf -test.run .
run agent-containerizer-linux -test.run EventsAreCounted
sleep 3
[ -f $second ] && echo 1 > $second
# The runtimes are large programs for an emulated machine: they run beside the others,
# not a hundred at once, and the walls are looked at with one of them.
run agent-launcher-oci -test.run '.*/runc' -test.skip '.*/.*/(HundredAtOnce|Walls)' &
run agent-isolators-devices -test.run .
run agent-isolators-disk -test.run .
run agent-isolators-disk-xfs -test.run .
run agent-containerlogger -test.run .
# Upgrades and a hundred at once take minutes on an emulated machine.
run agent-launcher-remote -test.run . -test.skip 'Upgrade|.*/HundredAtOnce'
run agent-launcher-native -test.run .
# Networks with the native launcher: the runtimes are too large for this machine.
run agent-containerizer-linux -test.run . -test.skip 'EventsAreCounted|NoLinkLeads|Project|ImagesAreTheSame|.*/(runc|crun)'
run agent-containerizer-linux -test.run Project
run agent-containerizer-linux -test.run ImagesAreTheSame -test.skip '.*/.*/.*/(runc|crun)'
run agent-isolators-cni-bridge -test.run .
run agent-isolators-cni -test.run .
run agent-isolators-ports -test.run .
run agent-launcher-oci -test.run '.*/crun' -test.skip '.*/.*/HundredAtOnce'
# A tmpfs of this kernel cannot be mounted with other ids.
if [ -b /dev/vda ]; then
  export TMPDIR=/disk
  run agent-launcher-native -test.run UserNamespace -test.skip '.*/HundredAtOnce'
  run agent-launcher-oci -test.run 'UserNamespace.*/crun/(ExitCode|Restart|Probe|Links|Root|Files|Nested|Kernel|Neighbours)'
  run agent-launcher-oci -test.run 'UserNamespace.*/runc/(ExitCode|Files|Nested|Kernel)'
  run agent-containerizer-linux -test.run 'UserNamespace|HasIDsOfItsOwn' -test.skip '.*/(runc|crun)|NoLinkLeads'
  run agent-containerizer-linux -test.run 'UserNamespacesWithOCI.*/crun/(Files|Pods|Refused|Layers|Copied)'
  run agent-containerizer-linux -test.run 'ImagesAreTheSame.*/.*/(Users|UserN|Owners)'
fi
wait
left=$(find /sys/fs/cgroup -mindepth 1 -type d | wc -l)
echo "VM: end, $left cgroups left"
poweroff -f
