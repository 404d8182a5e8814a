#!/usr/bin/env bash
# Installs the Debian packages that the tests use, when one of them is missing.
# Without root it says what will be skipped.
set -euo pipefail
packages=(busybox-static docker-registry runc crun uidmap qemu-system-x86 cpio containernetworking-plugins docker.io e2fsprogs xfsprogs systemd)
missing=()
for package in "${packages[@]}"; do
  dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "test-deps: not installed, tests that need them are skipped: ${missing[*]}" >&2
  exit 0
fi
echo "test-deps: installing ${missing[*]}"
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
