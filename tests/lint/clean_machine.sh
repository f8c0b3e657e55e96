#!/usr/bin/env bash
# Tries the README as a new user: a bare Debian 12 (CLEAN_MACHINE_RELEASE=noble: Ubuntu 24.04) in a
# chroot with git, curl and python3, this repository cloned into it, the two commands typed. Needs root
# and debootstrap; takes an hour on two cores. CLEAN_MACHINE names the folder (kept when given),
# CLEAN_MACHINE_STEPS the commands to try.
set -euo pipefail
repository=$(cd "$(dirname "$0")/../.." && pwd)
[ "$(id -u)" = 0 ] || { echo "clean_machine: needs root" >&2; exit 3; }
command -v debootstrap >/dev/null || { echo "clean_machine: needs debootstrap" >&2; exit 3; }

machine=${CLEAN_MACHINE:-}
if [ -z "$machine" ]; then
  machine=$(mktemp -d /var/tmp/clean-machine.XXXX)
  keep=false
else
  keep=true
fi
cleanup() {
  for inside in dev/pts dev/shm dev proc sys; do
    mountpoint -q "$machine/$inside" && umount -l "$machine/$inside"
  done
  $keep || rm -rf --one-file-system "$machine"
}
trap cleanup EXIT

release=${CLEAN_MACHINE_RELEASE:-bookworm}
case "$release" in
  bookworm)
    mirror=${DEBIAN_MIRROR:-http://deb.debian.org}/debian
    sources="deb $mirror bookworm main
deb $mirror bookworm-updates main
deb $mirror-security bookworm-security main"
    ;;
  noble)
    mirror=${UBUNTU_MIRROR:-http://archive.ubuntu.com}/ubuntu
    sources="deb $mirror noble main universe
deb $mirror noble-updates main universe
deb $mirror noble-security main universe"
    ;;
  *) echo "clean_machine: CLEAN_MACHINE_RELEASE is bookworm or noble" >&2; exit 2 ;;
esac
# All Ubuntus are made alike; debootstrap may not know the newest by name.
script=/usr/share/debootstrap/scripts/$release
[ -e "$script" ] || script=/usr/share/debootstrap/scripts/gutsy
[ -x "$machine/bin/sh" ] ||
  debootstrap --variant=minbase --include=git,curl,python3,ca-certificates "$release" "$machine" \
    "$mirror" "$script" >"$machine.log" || { tail "$machine.log"; exit 1; }
echo "$sources" >"$machine/etc/apt/sources.list"
# This machine's way to the network: proxies, names, certificates.
[ -e "$machine/etc/apt/apt.conf.d/90network" ] ||
  apt-config dump | grep -E '^Acquire::(http|https|Check-)' >"$machine/etc/apt/apt.conf.d/90network" || true
for file in /etc/pip.conf /etc/resolv.conf /etc/hosts /etc/ssl/certs/ca-certificates.crt ${PIP_FIND_LINKS:-}; do
  [ -e "$file" ] || continue
  mkdir -p "$machine$(dirname "$file")"
  cp -rLT "$file" "$machine$file"
done
mkdir -p "$machine"/{dev,proc,sys}
mount --rbind /dev "$machine/dev"
mount --make-rslave "$machine/dev"
mount -t proc proc "$machine/proc"
mount --rbind /sys "$machine/sys"
mount --make-rslave "$machine/sys"

rm -rf "$machine/root/proctor"
git clone -q "$repository" "$machine/root/proctor"
git -C "$machine/root/proctor" checkout -q "$(git -C "$repository" rev-parse HEAD)"

steps=${CLEAN_MACHINE_STEPS:-"./scripts/setup && build/release/proctor run examples/quickstart.yaml
./scripts/setup
./scripts/test"}
environment=(HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 TERM="${TERM:-dumb}")
for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY PIP_INDEX_URL PIP_FIND_LINKS PIP_CERT \
  SSL_CERT_FILE REQUESTS_CA_BUNDLE SANDBOX_MUST_WORK; do
  [ -z "${!name:-}" ] || environment+=("$name=${!name}")
done
while IFS= read -r step; do
  [ -n "$step" ] || continue
  echo "== $step"
  started=$SECONDS
  chroot "$machine" /usr/bin/env -i "${environment[@]}" /bin/bash -c "cd /root/proctor && $step" </dev/null
  echo "== took $(((SECONDS - started) / 60)) min $(((SECONDS - started) % 60)) s"
done <<<"$steps"
