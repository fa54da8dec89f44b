"""Prints what the project itself needs at run time, one requirement a line, so that a checkout can run uninstalled."""

import sys

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

with open("pyproject.toml", "rb") as file:
    print("\n".join(tomllib.load(file)["project"]["dependencies"]))
