#!/bin/sh
# Make the system of an image for another architecture than this machine's: foreign_base.sh inside-an-image ARCHITECTURE FOLDER.
# Nothing of that architecture is run: the packages of Debian that are always installed, and Python's, are unpacked; what their scripts would make and a
# program needs is made here. Run while the image is built, by the Dockerfile, in a system of the same release.
set -eu
if [ "${1-}" != inside-an-image ]; then
  echo "$0 is for the Dockerfile, which calls it with inside-an-image" >&2
  exit 2
fi
architecture=$2 root=$3
work=/build/foreign
mkdir -p "$work/lists/partial" "$work/archives/partial" "$root/var/lib/dpkg/info"
: >"$work/status"
if [ -s /build/ca.crt ]; then echo 'Acquire::https::CAInfo "/build/ca.crt";' >/etc/apt/apt.conf.d/90build; fi
foreign() {
  apt-get -qq -o APT::Architecture="$architecture" -o APT::Architectures="$architecture" -o Dir::State::status="$work/status" \
    -o Dir::State::lists="$work/lists" -o Dir::Cache="$work" -o APT::Sandbox::User=root "$@"
}
foreign update
if ! foreign install -y --download-only --no-install-recommends usr-is-merged python3 python3-distutils '?essential' >"$work/said" 2>&1; then
  cat "$work/said" >&2
  echo "Debian's mirror of this image (/etc/apt) gives no whole system for $architecture: let it be one that has that architecture" >&2
  exit 1
fi
# As each Debian has it since bookworm
for folder in bin sbin lib; do
  mkdir -p "$root/usr/$folder"
  ln -s "usr/$folder" "$root/$folder"
done
if [ "$architecture" = amd64 ]; then
  mkdir -p "$root/usr/lib64"
  ln -s usr/lib64 "$root/lib64"
fi
for package in "$work"/archives/*.deb; do
  dpkg-deb --fsys-tarfile "$package" | tar --extract --preserve-permissions --keep-directory-symlink --directory="$root"
  dpkg-deb --fsys-tarfile "$package" | tar --list | sed 's,^\./*,/,; s,/$,,' >"$root/var/lib/dpkg/info/$(dpkg-deb --field "$package" Package).list"
  { dpkg-deb --field "$package"; printf 'Status: install ok installed\n\n'; } >>"$root/var/lib/dpkg/status"
done
# What the packages' scripts make
[ -e "$root/bin/sh" ] || ln -s dash "$root/bin/sh"
ln -s mawk "$root/usr/bin/awk"
ln -s which.debianutils "$root/usr/bin/which"
cp "$root/usr/share/base-passwd/passwd.master" "$root/etc/passwd"
cp "$root/usr/share/base-passwd/group.master" "$root/etc/group"
cp "$root/usr/share/libc-bin/nsswitch.conf" "$root/etc/nsswitch.conf"
# The same for all architectures
for file in /etc/ssl/certs/ca-certificates.crt /etc/localtime /etc/timezone; do
  if [ -f "$file" ]; then
    mkdir -p "$root${file%/*}"
    cp -L "$file" "$root$file"
  fi
done
grep '^edgefl:' /etc/passwd >>"$root/etc/passwd"
grep '^edgefl:' /etc/group >>"$root/etc/group"
mkdir -p "$root/opt/edgefl/app" "$root/opt/edgefl/data"
sh /build/slim_base.sh inside-an-image "$root"
