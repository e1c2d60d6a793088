#!/bin/sh
# Take out of a Debian system what a container that runs one Python program never uses: package management, Perl,
# accounts, administration, file systems, character sets, documentation. A shell, coreutils and tar (kubectl cp) stay, and so does the
# list of packages, for scanners, and all notices of copyright. Run while the image is built, by the Dockerfile: it would ruin any other system.
# With a folder after that it is the system in there, of which nothing can be run: foreign_base.sh, which made it, has left lists of its files.
set -eu
if [ "${1-}" != inside-an-image ]; then
  echo "$0 takes a system apart: it is for the Dockerfile, which calls it with inside-an-image" >&2
  exit 2
fi
root=${2-}
packages='adduser apt debconf debian-archive-keyring diffutils e2fsprogs gpgv init-system-helpers
  libapt-pkg6.0 libdb5.3 libext2fs2 libgcrypt20 libgnutls30 libhogweed6 libidn2-0 libnettle8 libp11-kit0 libpam-modules
  libpam-modules-bin libpam-runtime libpam0g libsemanage2 libsepol2 libss2 libtasn1-6 libunistring2 login logsave mount
  openssl passwd perl-base sysvinit-utils tzdata usr-is-merged util-linux-extra'
files_of() {
  if [ -n "$root" ]; then cat "$root/var/lib/dpkg/info/$1.list" 2>/dev/null
  else dpkg -L "$1" 2>/dev/null || dpkg -L "$1:$(dpkg --print-architecture)" 2>/dev/null; fi
}
for package in $packages; do
  files=$(files_of "$package") || continue
  printf '%s\n' "$files" | while read -r path; do
    [ -d "$root$path" ] || rm -f "$root$path"
  done
done
python3 -B -c '
import pathlib, sys, tarfile
share = pathlib.Path(sys.argv[1] + "/usr/share")
with tarfile.open(share / "copyright.tar.xz", "w:xz") as notices:
    for path in sorted(share.glob("doc/*/copyright")):
        about = notices.gettarinfo(path, path.parent.name)
        about.mtime = 0
        notices.addfile(about, None if about.issym() else path.open("rb"))' "$root"
cd "${root:-/}"
rm -rf usr/share/doc usr/share/man usr/share/info usr/share/locale usr/share/zoneinfo usr/share/perl5 usr/share/bash-completion \
  usr/lib/*/gconv usr/lib/*/perl-base usr/lib/apt usr/lib/udev usr/lib/systemd \
  var/cache/* var/lib/apt var/lib/dpkg/info var/log/* var/backups/* etc/apt etc/systemd
# Python's own modules as bytecode only, as install.py does it with the others; and no installer, there is nowhere to install to
if [ -n "$root" ]; then library=$root/usr/lib/python3.11; else library=$(python3 -c 'import os; print(os.path.dirname(os.__file__))'); fi
rm -rf "$library/ensurepip" "$library/idlelib" "$library/lib2to3" "$library/pydoc_data" "$library/test" "$library/tkinter" \
  "$library/turtledemo" "$library/site-packages/pip" "$library"/site-packages/pip-* "$library/site-packages/setuptools" \
  "$library"/site-packages/setuptools-* "$library"/config-*
find "$library" -name __pycache__ -exec rm -rf {} +
python3 -B -m compileall -q -b -o 2 ${root:+-s "$root" -p /} "$library" >/dev/null || true # what is no valid source stays
find "$library" -name '*.pyc' | while read -r compiled; do rm -f "${compiled%c}"; done
rm -f usr/bin/dpkg*
find usr/sbin -type f ! -name 'ldconfig*' -delete # Python asks ldconfig for libraries
[ -n "$root" ] || python3 -B -c 'import asyncio, concurrent.futures, ctypes, email, hashlib, http.client, json, lzma, sqlite3, ssl, subprocess, urllib.request, uuid'
