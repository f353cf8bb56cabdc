#!/bin/sh
# Process 1 of a namespace host: mounts, a boot id of its own, syslog, sshd; then it reaps. It ends when the namespace does.
mount -t proc proc /proc
mount -t sysfs -o ro sysfs /sys
mount -t tmpfs -o mode=755 tmpfs /dev
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=1777 tmpfs /tmp
for node in null,1,3 zero,1,5 full,1,7 random,1,8 urandom,1,9 tty,5,0; do
  name=${node%%,*} numbers=${node#*,}
  mknod -m 666 "/dev/$name" c "${numbers%,*}" "${numbers#*,}"
done
mkdir -p /dev/pts /dev/shm /run/sshd /run/lock
mount -t devpts -o newinstance,ptmxmode=0666 devpts /dev/pts
ln -s pts/ptmx /dev/ptmx
ln -s /proc/self/fd /dev/fd
hostname "$(cat /etc/hostname)"
# The kernel's boot id is the machine's; a reboot of this host must be provable, so it gets its own per boot.
cat /proc/sys/kernel/random/uuid > /run/boot_id
mount --bind /run/boot_id /proc/sys/kernel/random/boot_id
cat /run/boot_id >> /var/log/boots
# A boot record as init writes it (struct utmp), for `last`: there is no journal here.
perl -e 'print pack "s x2 l a32 a4 a32 a256 s2 l l l a16 a20", 2, 0, "~", "~~", "reboot", "lab", 0, 0, 0, time, 0, "", ""' \
  >> /var/log/wtmp
/usr/sbin/syslogd --no-klog
tries=0
until [ -S /dev/log ] || [ $((tries += 1)) -gt 500 ]; do sleep 0.01; done
/usr/sbin/sshd
for start in /etc/lab-init.d/*; do [ -x "$start" ] && "$start"; done
trap 'exit 0' TERM
while :; do sleep 3600 & wait $!; done
