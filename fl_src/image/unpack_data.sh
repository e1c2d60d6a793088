#!/bin/sh
# Fetches Fashion-MNIST as Debian packs it and unpacks its idx files: unpack_data.sh DIR
# (the programs map them into memory, which a compressed file does not allow).
set -eu
target=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get download -q dataset-fashion-mnist
dpkg -x ./*.deb files
mkdir -p "$target"
for file in files/usr/share/datasets/fashion-mnist/*.gz; do
  gunzip -c "$file" >"$target/$(basename "$file" .gz)"
done
chmod 0755 "$target"
chmod 0644 "$target"/*
ls -l "$target"
