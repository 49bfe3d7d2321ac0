"""Builds the project's images, with Docker where an engine answers and buildah otherwise; only what changed."""

import hashlib
import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import layouts
import packages
from paths import BUILD, IMAGES, REPOSITORY, write
from say import Trouble, say

NAMES = ("operator", "runner")
_PULL_SECONDS = 60
_REPORT_SECONDS = 30
_CERTIFICATES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE")
_SYSTEM_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True)
class Base:
    """What images are built on: named, pulled, or made of the packages of a Debian that has this Python."""

    image: str
    local: str
    debian: str
    named: str = ""


# The requirements are compiled for 3.11, and every version in them has wheels for the others, too.
_BASE = Base("python:3.11-slim", "localhost/slipway-base:2", "bookworm", os.environ.get("BASE_IMAGE", ""))
# Runner images of other Pythons, which are built when something asks for them.
OTHERS = {"3.13": Base("python:3.13-slim", "localhost/slipway-base-3.13:1", "trixie")}


def _parts(name: str) -> tuple[str, Base]:
    """What is built of the Dockerfile, and on what: `runner-3.13` is the runner on the base of that Python."""
    target, _, python = name.partition("-")
    return target, OTHERS[python] if python else _BASE


def tag(name: str) -> str:
    return f"localhost/slipway-{name}:dev"


def docker_answers() -> bool:
    if not shutil.which("docker"):
        return False
    try:
        return subprocess.run(["docker", "info"], capture_output=True, timeout=20, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def ensure(with_docker: bool, names: tuple[str, ...] = NAMES) -> None:
    """Build those images whose inputs changed."""
    for name in names:
        stamp = IMAGES / "stamp" / f"{'docker' if with_docker else 'buildah'}-{name}"
        wanted = _inputs(name)
        if stamp.is_file() and stamp.read_text() == wanted and _present(name, with_docker):
            say(f"image {tag(name)} is current")
            continue
        started = time.monotonic()
        say(f"building image {tag(name)} ...")
        if with_docker:
            _docker(name)
        else:
            _buildah(name)
        write(stamp, wanted)
        say(f"building image {tag(name)}: {time.monotonic() - started:.1f} s")


def _inputs(name: str) -> str:
    """A digest of everything that goes into the image."""
    target, base = _parts(name)
    digest = hashlib.sha256((base.named or base.image).encode())
    code = sorted(path for path in (REPOSITORY / "operator" / "slipway").rglob("*") if path.is_file())
    files = [REPOSITORY / "Dockerfile", REPOSITORY / "requirements" / f"{target}.txt", *code]
    for path in files:
        if "__pycache__" not in path.parts:
            digest.update(str(path.relative_to(REPOSITORY)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _present(name: str, with_docker: bool) -> bool:
    if with_docker:
        inspect = ["docker", "image", "inspect", tag(name)]
        return subprocess.run(inspect, capture_output=True, check=False).returncode == 0
    return layouts.present(tag(name))


def _secret() -> list[str]:
    """The machine's own certificates, for a network that re-signs what comes from the package index."""
    named = [Path(os.environ[key]) for key in _CERTIFICATES if os.environ.get(key)]
    bundle = next((path for path in [*named, _SYSTEM_CERTIFICATES] if path.is_file()), None)
    return ["--secret", f"id=ca,src={bundle}"] if bundle else []


def _docker(name: str) -> None:
    target, base = _parts(name)
    chosen = f"BASE_IMAGE={base.named or base.image}"
    options = ["--network", "host", "--target", target, "--tag", tag(name), "--build-arg", chosen]
    command = ["docker", "build", *options, *_secret(), str(REPOSITORY)]
    _run(command, f"image-{name}", {**os.environ, "DOCKER_BUILDKIT": "1"})


def buildah(*arguments: str) -> list[str]:
    storage = (
        "--storage-driver",
        "overlay",
        "--root",
        str(IMAGES / "buildah"),
        "--runroot",
        str(IMAGES / "buildah-run"),
    )
    return ["buildah", *storage, *arguments]


def _buildah(name: str) -> None:
    packages.ensure(packages.FOR_IMAGES)
    target, base = _parts(name)
    options = ["--isolation", "chroot", "--network", "host", "--layers", "--pull-never", "--target", target]
    options += ["--tag", tag(name), "--build-arg", f"BASE_IMAGE={_there(base)}", "--format", "oci", *_secret()]
    ignore = ["--ignorefile", str(REPOSITORY / ".dockerignore"), "--file", str(REPOSITORY / "Dockerfile")]
    _run(buildah("build", *options, *ignore, str(REPOSITORY)), f"image-{name}")
    with layouts.receiving(tag(name)):
        _run(buildah("push", tag(name), f"oci:{layouts.OCI}:{tag(name)}"), f"push-{name}")
    subprocess.run(buildah("rmi", "--prune", "--force"), capture_output=True, check=False)


def _there(base: Base) -> str:
    """The named base image; without an image registry within reach, a Debian with Python made from packages."""
    if base.named:
        return base.named
    for image in (base.image, base.local):
        if (
            subprocess.run(buildah("inspect", "--type", "image", image), capture_output=True, check=False).returncode
            == 0
        ):
            return image
    if _pulled(base.image):
        return base.image
    say(f"{base.image} cannot be pulled: making a base image from Debian packages")
    packages.ensure(packages.FOR_BASE_IMAGE)
    archive = IMAGES / f"{base.local.rpartition('/')[2].replace(':', '-')}.tar"
    if not archive.is_file():
        draft = archive.with_suffix(".draft.tar")
        # Documents and translations are half of a small Debian's files.
        lean = [f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("doc", "man", "locale")]
        wanted = "--include=python3,python3-venv,ca-certificates,libgomp1"
        _run(["mmdebstrap", "--variant=minbase", wanted, *lean, base.debian, str(draft)], "base")
        draft.replace(archive)
    container = subprocess.run(buildah("from", "scratch"), capture_output=True, text=True, check=True).stdout.strip()
    _run(buildah("add", container, str(archive), "/"), "base-add")
    _run(buildah("commit", "--squash", "--rm", container, base.local), "base-commit")
    return base.local


def _pulled(image: str) -> bool:
    try:
        pull = buildah("pull", "--quiet", f"docker://{image}")
        return subprocess.run(pull, capture_output=True, timeout=_PULL_SECONDS, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _run(command: list[str], name: str, environment: dict[str, str] | None = None) -> None:
    log = BUILD / "log" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=environment)
        while True:
            try:
                code = process.wait(_REPORT_SECONDS)
                break
            except subprocess.TimeoutExpired:
                said = (log.read_text(errors="replace").strip().splitlines() or [""])[-1]
                say(f"  still at it ({time.monotonic() - started:.0f} s): {said[:100]}")
    if code:
        raise Trouble(f"{name} failed:\n{log.read_text(errors='replace')[-3000:]}\nlog: {log}")


def record(images: dict[str, str]) -> None:
    """Which images are in the cluster, by name and manifest digest, for whoever must know whether they changed."""
    write(IMAGES / "images.json", json.dumps(images, indent=2) + "\n")
