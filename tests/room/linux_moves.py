"""A Linux under load, its partner on a network, and two unlike servers between which it moves."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from host_shares import free_ports
from linux_found import find_linux
from room_support import Console, Shell

PROMPT = b"sun4v# "
PORTS = 4
SERVER = """
[server.{name}]
platform = "{platform}"
memory = "4G"
networks = {{ net0 = "lan" }}
[server.{name}.domain.primary]
cores = 1
memory = "1G"
vcc.primary-vcc0 = "{first}-{last}"
vsw.primary-vsw0 = {{ net-dev = "net0" }}
vds.primary-vds0.kernel = {{ file = "{home}/kernel.img" }}
vds.primary-vds0.root = {{ file = "{home}/root.img" }}
vds.primary-vds0.data = {{ file = "{home}/data.img" }}
"""
PARTNER_DISKS = """
vds.primary-vds0.kernel2 = {{ file = "{home}/kernel2.img" }}
vds.primary-vds0.root2 = {{ file = "{home}/root2.img" }}
"""
DOMAIN = """
[server.alpha.domain.{name}]
vcpus = {vcpus}
memory = "{memory}"
cpu-arch = "migration-class1"
vdisk.vdisk0 = "kernel{suffix}@primary-vds0"
vdisk.vdisk1 = "root{suffix}@primary-vds0"
vnet.vnet0 = "primary-vsw0"
variable.boot-device = "vdisk0"
variable.boot-file = "console=ttyHV0 cryptomgr.notests=1 quiet root=/dev/vdiskb init=/init"
"""
HARMLESS = re.compile(r"random: crng init done|drop_caches: 3|EXT4-fs \(vdiskc\): (un)?mount|"
                      # a link went while a frame was read through it: the frame is lost, TCP sends it again
                      r"ldc: ldc_copy: ID\[\d+\] (HV error 14|Link down hs_state\[\d\] flags\[\w+\])$|"
                      # sunvnet gives TCP segments as large as its peer has sent them, and does not say so (no gso_size)
                      r"TCP: eth\d: Driver has suspect GRO implementation|"
                      r"hrtimer: interrupt took \d+ ns$")  # of a host that had no time for the guest
# Each load repeats something that checks itself, counts how often, and says FAILED where it once was wrong.
# `conversation` keeps one TCP connection for as long as its count of messages lasts, which is several moves.
LOAD = """#!/bin/sh
here=10.1.0.1 there=10.1.0.2
again() {
  name=$1; shift; n=0
  while [ ! -e /tmp/stop ]; do
    "$@" > /tmp/$name.out 2>&1 || { echo "FAILED $name: $*"; cat /tmp/$name.out; } >> /tmp/failed
    n=$((n + 1)); echo $n > /tmp/$name.count
  done
}
compile() { shellload 400 8 > /tmp/compile.new && cmp /tmp/compile.new /tmp/compile.good; }
files() {
  i=$((i + 1)); d=/mnt/d$((i % 5)); rm -rf $d; mkdir $d || return 1
  for f in 1 2 3 4 5 6; do head -c 300000 /dev/urandom > $d/$f || return 1; done
  (cd $d && md5sum * > /tmp/sums) && sync && echo 3 > /proc/sys/vm/drop_caches && (cd $d && md5sum -cs /tmp/sums)
}
case $1 in
partner) ip addr add $there/24 dev eth0; ip link set eth0 up; load netload serve > /tmp/serve.out 2>&1 & ;;
start)
  ip addr add $here/24 dev eth0; ip link set eth0 up
  mount -t ext4 /dev/vdiskc /mnt || echo "FAILED mount" >> /tmp/failed
  shellload 400 8 > /tmp/compile.good; i=0
  dmesg -c > /dev/null
  again compile compile & again forks load forks 24 & again dirty load dirty 24 3 & again files files &
  again conversation load netload echo $there MESSAGES 1000 & again stream load netload stream $there 4 & ;;
stop)
  touch /tmp/stop; wait
  for n in 1 2 3 4 5 6 7 8 9; do pgrep -f 'soakload start' > /dev/null || break; sleep 10; done
  umount /mnt || echo "FAILED umount" >> /tmp/failed
  echo "COUNTS $(cd /tmp; for f in *.count; do echo ${f%.count}=$(cat $f); done)"
  cat /tmp/failed 2>/dev/null; echo "DMESG"; dmesg; echo "END of it" ;;
esac
"""


def build(shell: Shell, *, messages: int) -> int:
    """Disks and lab; the first of alpha's console ports; beta's begin PORTS later. Skips where a part is missing."""
    found, why = find_linux()
    if found is None:
        pytest.skip(why)
    for tool in ("cpio", "mke2fs", "e2fsck", "zcat"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    home = shell.home
    shell.sun4v("mkdisk", "--boot", str(found.kernel), "kernel.img", "64M")
    root = home / "root"
    unpack = f"mkdir root && (cd root && zcat {shlex.quote(str(found.initrd))} | cpio -id --quiet)"
    subprocess.run(["sh", "-c", unpack], cwd=home, check=True)
    (root / "usr" / "bin" / "soakload").write_text(LOAD.replace("MESSAGES", str(messages)))
    (root / "usr" / "bin" / "soakload").chmod(0o755)
    (root / "mnt").mkdir(exist_ok=True)
    make = "truncate -s 32M root.img && mke2fs -q -t ext4 -d root root.img && truncate -s 32M data.img && " \
           "mke2fs -q -t ext4 data.img && cp root.img root2.img && cp kernel.img kernel2.img"
    subprocess.run(["sh", "-c", make], cwd=home, check=True)
    first = free_ports(2 * PORTS)
    parts = ['name = "moves"\n']
    for number, (name, platform) in enumerate((("alpha", "t4-1"), ("beta", "t5-2"))):
        begin = first + number * PORTS
        parts.append(SERVER.format(name=name, platform=platform, first=begin, last=begin + PORTS - 1, home=home))
    parts.insert(2, PARTNER_DISKS.format(home=home).lstrip())
    parts.insert(3, DOMAIN.format(name="mover", vcpus=2, memory="384M", suffix="")
                 + 'vdisk.vdisk2 = "data@primary-vds0"\n')
    parts.insert(4, DOMAIN.format(name="partner", vcpus=1, memory="256M", suffix="2"))
    (home / "moves.toml").write_text("".join(parts))
    shell.sun4v("lab", "up", str(home / "moves.toml"))
    return first


def trust_each_other(home: Path) -> None:
    """Their certificates, for migrations with -c."""
    for name, other in (("alpha", "beta"), ("beta", "alpha")):
        folder = home / "machines" / name / "ldmd" / "trust"
        shutil.copyfile(home / "machines" / other / "ldmd" / "server.crt", folder / f"{other}.pem")


def console_port(shell: Shell, machine: str, domain: str) -> int:
    """Where its console is now."""
    for line in shell.ldm("-m", machine, "list", "-p", domain).splitlines():
        if match := re.search(rf"name={domain}\|.*\|cons=(\d+)\|", line):
            return int(match[1])
    raise AssertionError(f"{domain} is not on {machine}")


def at_prompt(port: int) -> Console:
    """A console whose shell has prompted."""
    console = Console(port)
    console.socket.settimeout(300)
    console.type(b"\n")
    console.until(PROMPT)
    return console


def complaints(kernel_log: str) -> list[str]:
    """Lines of `dmesg` but those that the load itself brings about."""
    lines = kernel_log.replace("\r", "").split("\n")
    return [line for line in lines if line.startswith("[") and not HARMLESS.search(line)]


def check_file_system(image: Path) -> str:
    """What e2fsck says, "" where it finds nothing wrong."""
    done = subprocess.run(["e2fsck", "-fn", str(image)], capture_output=True, text=True, check=False,
                          env={**os.environ, "LC_ALL": "C"})
    return "" if done.returncode == 0 else done.stdout + done.stderr
