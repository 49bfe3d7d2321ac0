"""Debian packages that the cluster and the image build need: installed as root, named otherwise."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from paths import BIN
from say import Trouble, say

# package -> what shows that it is there
FOR_NODES = {
    "runc": "runc",
    "containernetworking-plugins": "/usr/lib/cni/bridge",
    "nftables": "nft",
    "conntrack": "conntrack",
    "iproute2": "ip",
    "kmod": "modprobe",
    "openssl": "openssl",
    "busybox-static": "busybox",
}
FOR_CONTROL_PLANE = {"openssl": "openssl"}
FOR_IMAGES = {"buildah": "buildah", "ca-certificates": "/etc/ssl/certs/ca-certificates.crt"}
FOR_BASE_IMAGE = {"mmdebstrap": "mmdebstrap"}


# program -> the package that it is taken from, without installing it: nobody wants a Prometheus started
FOR_TESTS = {"promtool": "prometheus"}
# package -> what shows that it is there; its programs are started by tests, in folders of their own
FOR_TESTS_INSTALLED = {"postgresql": "/usr/lib/postgresql", "nodejs": "node", "npm": "npm"}


def can_install() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def _present(sign: str) -> bool:
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return Path(sign).exists() if sign.startswith("/") else shutil.which(sign, path=path) is not None


def ensure(wanted: dict[str, str]) -> None:
    missing = [package for package, sign in wanted.items() if not _present(sign)]
    if not missing:
        return
    if not can_install():
        raise Trouble(f"these programs are missing; as root: apt-get install {' '.join(missing)}")
    say(f"installing {' '.join(missing)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *missing]
    first = subprocess.run(install, env=environment, check=False, capture_output=True)
    if first.returncode:  # the package lists are old or absent
        subprocess.run(["apt-get", "update", "--quiet"], env=environment, check=False, capture_output=True)
        second = subprocess.run(install, env=environment, check=False, capture_output=True, text=True)
        if second.returncode:
            raise Trouble(f"`{' '.join(install)}` failed:\n{second.stderr[-1000:]}")


def install_where_nothing_starts(wanted: dict[str, str]) -> None:
    """Install servers where no init system would start them, such as in a container; elsewhere that is for people."""
    if all(map(_present, wanted.values())):
        return
    if can_install() and not Path("/run/systemd/system").exists():
        try:
            ensure(wanted)
        except Trouble as trouble:
            say(f"the tests that need {' '.join(wanted)} are skipped: {trouble}")
    else:
        say(f"the tests that need it are skipped; as root: apt-get install {' '.join(wanted)}")


def take(programs: dict[str, str]) -> None:
    """The programs lie beside the cluster's own; where Debian's packages are out of reach, it is said."""
    for program, package in programs.items():
        if (BIN / program).is_file() or shutil.which(program):
            continue
        say(f"taking {program} from the Debian package {package}")
        with tempfile.TemporaryDirectory() as folder:
            if not (_downloaded(package, folder) or (_lists_renewed() and _downloaded(package, folder))):
                say(f"{program} cannot be had: the tests that need it are skipped (Debian package {package})")
                continue
            (archive,) = Path(folder).glob("*.deb")
            subprocess.run(["dpkg-deb", "--extract", archive, folder], check=True, capture_output=True)
            BIN.mkdir(parents=True, exist_ok=True)
            shutil.copy2(Path(folder, "usr/bin", program), BIN / program)


def _downloaded(package: str, folder: str) -> bool:
    if not shutil.which("apt-get"):
        return False
    command = ["apt-get", "download", "--quiet", package]
    return subprocess.run(command, cwd=folder, check=False, capture_output=True).returncode == 0


def _lists_renewed() -> bool:
    """Whether package lists could be fetched, which takes root."""
    if not can_install():
        return False
    return subprocess.run(["apt-get", "update", "--quiet"], check=False, capture_output=True).returncode == 0
