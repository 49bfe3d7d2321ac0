"""Debian packages that the cluster and the image build need: installed as root, named otherwise."""

import os
import shutil
import subprocess
from pathlib import Path

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
