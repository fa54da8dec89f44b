"""Builds the sdist and, from it, a wheel for every supported Python on this machine; checks and tries them.

The sdist: what is in it, and that tests run from it. The wheels: what is in them; each is installed into an empty
environment and used there, that of this Python also with its extras, and with the oldest versions that it allows. The
environments and the working directory lie outside the checkout, so a module that only the checkout has is missed.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path, PurePosixPath

import wheels

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = wheels.ROOT
DIST = ROOT / "dist"
# All but gssapi, which takes Kerberos' headers.
EXTRAS = ("aws", "gzip", "opentelemetry", "pkcs12", "prometheus", "snappy")
BUILT = (".c", ".so", ".pyc")
# Some of the tests, which need what the sdist has beside the package: the generator, schemas, documents, golden bytes.
TESTS = (
    "tests/codegen",
    "tests/protocol",
    "tests/test_arguments.py",
    "tests/test_config.py",
    "tests/test_packaging.py",
)


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    subprocess.run([str(part) for part in command], cwd=cwd, check=True, stdin=subprocess.DEVNULL)


def tracked(*folders: str) -> set[str]:
    listed = subprocess.check_output(["git", "ls-files", "-z", "--", *folders], cwd=ROOT, text=True)
    return {name for name in listed.split("\0") if name and (ROOT / name).exists()}


def oldest() -> list[str]:
    """What the project needs with and without its extras, each in the oldest version that it allows."""
    with open(ROOT / "pyproject.toml", "rb") as file:
        project = tomllib.load(file)["project"]
    needed = sum((project["optional-dependencies"][extra] for extra in EXTRAS), project["dependencies"])
    return [requirement.replace(">=", "==") for requirement in needed]


def wrong_in_sdist(sdist: Path) -> list[str]:
    with tarfile.open(sdist) as archive:
        names = {str(PurePosixPath(*PurePosixPath(name).parts[1:])) for name in archive.getnames()}
    written = tracked(".")
    return [
        *(f"the sdist lacks {name}" for name in sorted(written - names - {".gitignore"})),
        *(f"the sdist has {name}, which is built" for name in sorted(names - written) if name.endswith(BUILT)),
    ]


def wrong_in_wheel(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (archive.read(name).decode() for name in names if name.endswith(".dist-info/METADATA"))
    strangers = {name for name in names if not name.startswith("kafka/") and ".dist-info/" not in name}
    strangers |= {name for name in names if name.endswith(".c")}
    return [
        *(f"{wheel.name} lacks {name}" for name in sorted(tracked("kafka") - names)),
        *(f"{wheel.name} has {name}" for name in sorted(strangers)),
        *(f"{wheel.name}: its page links to {link}" for link in re.findall(r"\]\(((?![a-z]+:)[^)]*)", metadata)),
        *([] if wheels.POLICY is None or wheels.POLICY in wheel.name else [f"{wheel.name} is not {wheels.POLICY}"]),
    ]


def try_wheel(base: Path, wheel: Path, outside: Path, extras: bool) -> None:
    run(base, "-m", "venv", outside / "venv")
    python = outside / "venv" / "bin" / "python"
    smoke = (python, "-W", "error", ROOT / "tools" / "smoke.py", outside)
    run(python, "-m", "pip", "install", "-q", wheel, cwd=outside)
    run(python, "-m", "pip", "check", cwd=outside)
    run(*smoke, *EXTRAS, cwd=outside)
    if extras:
        run(python, "-m", "pip", "install", "-q", f"{wheel}[{','.join(EXTRAS)}]", cwd=outside)
        run(*smoke, cwd=outside)
        run(python, "-m", "pip", "install", "-q", *oldest(), cwd=outside)
        run(python, "-m", "pip", "check", cwd=outside)
        run(*smoke, cwd=outside)


def main() -> int:
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kafka-turbo-wheel-") as folder:
        outside = Path(folder)
        sdist = wheels.sdist(DIST)
        if wrong := wrong_in_sdist(sdist):
            print("\n".join(wrong))
            return 1
        source = wheels.unpacked(sdist, outside / "sdist")
        mine = wheels.version(Path(sys.executable))
        pythons = {wheels.version(python): python for python in wheels.pythons()}
        for version, python in {**pythons, mine: Path(sys.executable)}.items():
            wheel = wheels.wheel(python, source, DIST)
            if wrong := wrong_in_wheel(wheel):
                print("\n".join(wrong))
                return 1
            trying = outside / version
            trying.mkdir()
            try_wheel(python, wheel, trying, extras=version == mine)
            print(f"{wheel.name}: {wheel.stat().st_size >> 10} KiB", flush=True)
        run(sys.executable, "setup.py", "-q", "build_ext", "--inplace", cwd=source)
        run(sys.executable, "-m", "pytest", "-q", "-m", "not slow and not full and not kafka", *TESTS, cwd=source)
    print(f"the sdist and {len(list(DIST.glob('*.whl')))} wheels; {time.monotonic() - started:.1f} s")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except wheels.BuildFailed as failed:
        sys.exit(str(failed))
