#!/bin/sh
# Prints a Python that can build the project; with --all, one for each supported version that is installed.
# A Python counts when it runs (a pyenv shim of an unselected version does not), is 3.10 or newer, can make virtual
# environments and has its C headers.
check='
import os, sys, sysconfig
import ensurepip, ssl, venv
header = os.path.join(sysconfig.get_paths()["include"], "Python.h")
if sys.version_info < (3, 10) or not os.path.exists(header) or sys.implementation.name != "cpython":
    sys.exit(1)
print(os.path.realpath(sys.executable))
'

usable() {
    command -v "$1" >/dev/null 2>&1 && "$1" -c "$check" 2>/dev/null
}

if [ "${1:-}" = --all ]; then
    for version in 3.10 3.11 3.12 3.13 3.14; do
        for candidate in "python$version" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$version".*/bin/python3; do
            usable "$candidate" && break
        done
    done
    exit 0
fi

for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3.10 python3}; do
    usable "$candidate" && exit 0
done
echo "No usable Python: CPython 3.10 or newer with venv, ssl and its C headers is needed (Debian: python3-venv and" \
    "python3-dev). Name one with 'make PYTHON=/path/to/python3'." >&2
exit 1
