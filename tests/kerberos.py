"""A Kerberos realm on loopback, and the package gssapi for clients: MIT's programs, from Debian's packages if need be.

Both are kept under `.cache/`. `Unavailable` says what cannot be had here.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import kafka_jars
from kafka_jars import Unavailable

REALM = "KT.TEST"
_PACKAGES = (
    "krb5-kdc", "krb5-admin-server", "libkadm5srv-mit12", "libkadm5clnt-mit12", "libkdb5-10", "libgssrpc4",
    "libverto1", "libverto-libev1", "libev4", "libgssapi-krb5-2", "libkrb5-3", "libkrb5support0", "libk5crypto3",
    "libkrb5-dev", "krb5-multidev", "comerr-dev",
)  # fmt: skip


def debian() -> Path:
    """The folder into which Debian's packages have been unpacked."""
    place = kafka_jars.cache_folder() / "kerberos"
    with kafka_jars.locked():
        if not place.is_dir():
            if shutil.which("apt-get") is None:
                raise Unavailable("a KDC comes from Debian's packages, and there is no apt-get here")
            with tempfile.TemporaryDirectory(dir=place.parent) as folder:
                _run("apt-get", "download", *_PACKAGES, cwd=folder)
                for package in Path(folder).glob("*.deb"):
                    _run("dpkg", "-x", str(package), "unpacked", cwd=folder)
                os.rename(Path(folder, "unpacked"), place)
    return place


def libraries() -> Path:
    return next(debian().glob("usr/lib/*/krb5")).parent


def package() -> Path:
    """A folder with the package gssapi for this Python, built with the headers of `debian`."""
    place = kafka_jars.cache_folder() / f"gssapi-{sys.version_info[0]}.{sys.version_info[1]}"
    usr, lib = debian() / "usr", libraries()
    with kafka_jars.locked():
        if not place.is_dir():
            with tempfile.TemporaryDirectory(dir=place.parent) as folder:
                told = Path(folder, "krb5-config")
                libs = f"-L{lib} -lgssapi_krb5 -lkrb5 -lk5crypto -lcom_err"
                told.write_text(
                    "#!/bin/sh\n"
                    f'case "$*" in *--prefix*) echo {usr};; *--libs*) echo {libs};; *) echo -I{usr}/include;; esac\n'
                )
                told.chmod(0o755)
                main = {"GSSAPI_KRB5CONFIG": str(told), "GSSAPI_MAIN_LIB": str(lib / "libgssapi_krb5.so.2")}
                pip = (sys.executable, "-m", "pip", "install", "-q", "--target", "site", "--no-deps")
                _run(*pip, "gssapi==1.12.0", "decorator", cwd=folder, env={**os.environ, **main, "CFLAGS": "-O0"})
                os.rename(Path(folder, "site"), place)
    return place


def _run(*command: str, cwd: str, env: dict[str, str] | None = None) -> None:
    try:
        subprocess.run(command, cwd=cwd, env=env, check=True, capture_output=True, text=True, timeout=600)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        raise Unavailable(f"{command[0]} failed: {said.strip().splitlines()[-1]}") from error


class Realm:
    """A KDC, the services `kafka/localhost` and the user alice, each with a keytab in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._sbin, self._libraries = debian() / "usr/sbin", libraries()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.conf = folder / "krb5.conf"
        self.conf.write_text(configuration(self.port))
        (folder / "kdc.conf").write_text(
            f'[kdcdefaults]\n kdc_ports = ""\n kdc_tcp_listen = 127.0.0.1:{self.port}\n'
            f"[realms]\n {REALM} = {{\n  database_name = {folder}/principal\n  key_stash_file = {folder}/stash\n"
            "  max_life = 1h\n  supported_enctypes = aes256-cts:normal\n }\n"
            f"[dbmodules]\n db_module_dir = {self._libraries}/krb5/plugins/kdb\n"
            f"[logging]\n kdc = FILE:{folder}/kdc.log\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def environment(self, **more: str) -> dict[str, str]:
        """For processes that are to know the realm; they have no ticket."""
        mine = {
            "KRB5_CONFIG": str(self.conf),
            "KRB5_KDC_PROFILE": str(self.folder / "kdc.conf"),
            "KRB5CCNAME": f"MEMORY:{time.monotonic_ns()}",
            "KRB5RCACHEDIR": str(self.folder),
            "LD_LIBRARY_PATH": str(self._libraries),
        }
        return {**os.environ, **mine, **more}

    def keytab(self, name: str) -> Path:
        return self.folder / f"{name}.keytab"

    def __enter__(self) -> Realm:
        self._call("kdb5_util", "create", "-s", "-P", "master", "-r", REALM)
        for name, keytab in (("kafka/localhost", "kafka"), ("alice", "alice")):
            self._call("kadmin.local", "-q", f"addprinc -randkey {name}")
            self._call("kadmin.local", "-q", f"ktadd -k {self.keytab(keytab)} {name}")
        with open(self.folder / "kdc.out", "wb") as said:
            self._process = subprocess.Popen(
                [self._sbin / "krb5kdc", "-n"], env=self.environment(), stdout=said, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return self
            except OSError:
                assert self._process.poll() is None and time.monotonic() < deadline, (
                    self.folder / "kdc.out"
                ).read_text()
                time.sleep(0.05)

    def __exit__(self, *error: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait()

    def _call(self, program: str, *arguments: str) -> None:
        command = [self._sbin / program, *arguments]
        subprocess.run(command, env=self.environment(), check=True, capture_output=True, timeout=60)


def configuration(port: int) -> str:
    """A krb5.conf whose realm has its KDC at this port."""
    return (
        f"[libdefaults]\n default_realm = {REALM}\n dns_lookup_kdc = false\n dns_canonicalize_hostname = false\n"
        " rdns = false\n udp_preference_limit = 1\n"
        f"[realms]\n {REALM} = {{\n  kdc = 127.0.0.1:{port}\n }}\n[domain_realm]\n localhost = {REALM}\n"
    )
