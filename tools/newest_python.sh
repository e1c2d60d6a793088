#!/usr/bin/env bash
# Prints the path of the newest Python of this machine that the newest ansible-core runs on (3.12 or newer); says what to install where there is none.
set -euo pipefail

for name in {python3.14,"$HOME"/.pyenv/versions/3.14.*/bin/python} {python3.13,"$HOME"/.pyenv/versions/3.13.*/bin/python} \
  {python3.12,"$HOME"/.pyenv/versions/3.12.*/bin/python} python3; do
  # A name alone proves nothing: pyenv has one for each version, which fails while the version is not chosen
  if "$name" -c 'import sys, ensurepip, venv; sys.exit(not (3, 12) <= sys.version_info < (3, 15))' 2>/dev/null; then
    "$name" -c 'import sys; print(sys.executable)'
    exit
  fi
done
cat >&2 <<'END'
The tests with the newest ansible-core need Python 3.12, 3.13 or 3.14 with its venv module, beside the one of all else. Install one, such as
  Debian 13 or Ubuntu 24.04:  apt-get install python3-venv
  anywhere:                   pyenv install 3.13   (https://github.com/pyenv/pyenv)
and call make again, or name one: make NEWEST_PYTHON=/path/to/python3.13 ...
END
exit 1
