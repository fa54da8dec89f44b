"""Builds the sdist and, from it, the wheel; checks what is in them; tries the wheel in an empty environment.

It is tried without its extras, with them, and with the oldest versions that it allows.
The environment and the working directory lie outside the checkout, so a module that only the checkout has is missed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path, PurePosixPath

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
EXTRAS = ("gzip", "opentelemetry", "prometheus", "snappy")


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    subprocess.run([str(part) for part in command], cwd=cwd, check=True, stdin=subprocess.DEVNULL)


def tracked(folder: str) -> set[str]:
    listed = subprocess.check_output(["git", "ls-files", "-z", "--", folder], cwd=ROOT, text=True)
    return {name for name in listed.split("\0") if name and (ROOT / name).exists()}


def oldest() -> list[str]:
    """What the project needs with and without its extras, each in the oldest version that it allows."""
    with open(ROOT / "pyproject.toml", "rb") as file:
        project = tomllib.load(file)["project"]
    needed = sum(project["optional-dependencies"].values(), project["dependencies"])
    return [requirement.replace(">=", "==") for requirement in needed]


def main() -> int:
    started = time.monotonic()
    shutil.rmtree(DIST, ignore_errors=True)
    build = [sys.executable, "-m", "build", "--outdir", DIST]
    built = subprocess.run(build, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if built.returncode:
        print(built.stdout)
        return 1
    [sdist] = DIST.glob("*.tar.gz")
    [wheel] = DIST.glob("*.whl")

    with tarfile.open(sdist) as archive:
        in_sdist = {str(PurePosixPath(*PurePosixPath(name).parts[1:])) for name in archive.getnames()}
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = set(archive.namelist())
    sources = tracked("kafka")
    wrong = [f"the sdist lacks {name}" for name in sorted((sources | {"setup.py", "pyproject.toml"}) - in_sdist)]
    wrong += [f"the wheel lacks {name}" for name in sorted(sources - in_wheel)]
    wrong += [f"the sdist has {name}, which is generated" for name in sorted(in_sdist) if name.endswith((".c", ".so"))]
    strangers = {name for name in in_wheel if not name.startswith("kafka/") and ".dist-info/" not in name}
    strangers |= {name for name in in_wheel if name.endswith(".c")}
    wrong += [f"the wheel has {name}" for name in sorted(strangers)]
    if wrong:
        print("\n".join(wrong))
        return 1

    with tempfile.TemporaryDirectory(prefix="kafka-turbo-wheel-") as folder:
        outside = Path(folder)
        run(sys.executable, "-m", "venv", outside / "venv")
        python = outside / "venv" / "bin" / "python"
        smoke = (python, "-W", "error", ROOT / "tools" / "smoke.py", outside)
        run(python, "-m", "pip", "install", "-q", wheel, cwd=outside)
        run(python, "-m", "pip", "check", cwd=outside)
        run(*smoke, *EXTRAS, cwd=outside)
        run(python, "-m", "pip", "install", "-q", f"{wheel}[{','.join(EXTRAS)}]", cwd=outside)
        run(*smoke, cwd=outside)
        run(python, "-m", "pip", "install", "-q", *oldest(), cwd=outside)
        run(python, "-m", "pip", "check", cwd=outside)
        run(*smoke, cwd=outside)
    print(f"{wheel.name}: {len(in_wheel)} files, {wheel.stat().st_size >> 10} KiB; {time.monotonic() - started:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
