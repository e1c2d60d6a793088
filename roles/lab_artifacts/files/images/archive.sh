#!/usr/bin/env bash
# Makes an archive of images that hold one static program each.
# usage: archive.sh ARCHIVE IMAGE=[BASE]=PROGRAM ...     BASE: image to put the program on; none: nothing but the program
# PROGRAM comes last: a path may hold any character, names of images hold no '='.
# Says "made" when it made it; an archive that is there and has its checksum stays.
set -euo pipefail

archive=$1
shift
if [ -f "$archive" ] && sha256sum --status --check "$archive.sha256" 2>/dev/null; then exit 0; fi

work=$(mktemp -d)
images=()
cleanup() {
  rm -rf "$work"
  if [ "${#images[@]}" -gt 0 ]; then docker image rm --force "${images[@]}" >/dev/null; fi
}
trap cleanup EXIT

for wanted in "$@"; do
  image=${wanted%%=*} rest=${wanted#*=}
  base=${rest%%=*} program=${rest#*=}
  name=$(basename "$program")
  entrypoint="ENTRYPOINT [\"/usr/local/bin/$name\"]"
  mkdir -p "$work/usr/local/bin"
  cp "$program" "$work/usr/local/bin/$name"
  if [ -n "$base" ]; then
    printf 'FROM %s\nCOPY usr /usr\n%s\n' "$base" "$entrypoint" >"$work/Dockerfile"
    docker build --quiet --tag "$image" "$work" >/dev/null
  else
    tar -C "$work" --owner=0 --group=0 -c usr |
      docker import --change 'ENV PATH=/usr/local/bin' --change "$entrypoint" - "$image" >/dev/null
  fi
  images+=("$image")
  rm -rf "${work:?}"/*
done

# Older archives of the same images
rm -f "${archive%-*}"-*.tar "${archive%-*}"-*.tar.sha256
docker save --output "$archive.part" "${images[@]}"
chmod 0644 "$archive.part"
mv "$archive.part" "$archive"
sha256sum "$archive" >"$archive.sha256"
chmod 0644 "$archive.sha256"
echo made
