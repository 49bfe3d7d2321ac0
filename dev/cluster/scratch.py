"""Images made from files: the pause container, the artifact store, a shell and object stores for tests."""

import hashlib
import shutil
from pathlib import Path

import azurite
import layouts
import packages
import programs
from nodes import PAUSE_IMAGE
from paths import BIN, BUILD, IMAGES, write
from say import Trouble

BUSYBOX_IMAGE = "localhost/busybox:1"
STORE_IMAGE = "localhost/registry:3"
S3_IMAGE = "localhost/versitygw:1"
AZURITE_IMAGE = "localhost/azurite:1"
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
# The configuration that the upstream image brings, so that a chart can treat both alike.
_STORE_CONFIG = """version: 0.1
log:
  fields:
    service: registry
storage:
  delete:
    enabled: true
  cache:
    blobdescriptor: inmemory
  filesystem:
    rootdirectory: /var/lib/registry
http:
  addr: :5000
  headers:
    X-Content-Type-Options: [nosniff]
health:
  storagedriver:
    enabled: true
    interval: 10s
    threshold: 3
"""
_SHELL_NAMES = ("sh", "cat", "ls", "nslookup", "wget", "sleep", "touch", "id", "httpd", "dd", "env", "echo", "nc")


def _busybox() -> bytes:
    found = shutil.which("busybox", path="/bin:/usr/bin")
    if not found:
        packages.ensure(packages.FOR_NODES)
        found = shutil.which("busybox", path="/bin:/usr/bin")
    if not found:
        raise Trouble("busybox is missing")
    return Path(found).read_bytes()


def _write(image: str, pin: bytes, build) -> None:
    stamp = IMAGES / "stamp" / image.replace("/", "_")
    key = hashlib.sha256(pin).hexdigest()
    if layouts.present(image) and stamp.is_file() and stamp.read_text() == key:
        return
    build()
    write(stamp, key)


def load_pause() -> None:
    program = _busybox()
    config = {"Entrypoint": ["/bin/busybox", "sleep", "2147483"]}
    _write(
        PAUSE_IMAGE,
        program,
        lambda: layouts.write_single(PAUSE_IMAGE, [("bin/busybox", program, 0o755)], config),
    )
    layouts.load(PAUSE_IMAGE)


def write_busybox() -> None:
    program = _busybox()
    # A program per name, since a layer of links would need another kind of entry: scripts of one line do.
    shell = [
        (f"bin/{name}", f'#!/bin/busybox sh\nexec /bin/busybox {name} "$@"\n'.encode(), 0o755)
        for name in _SHELL_NAMES[1:]
    ]
    files = [("bin/busybox", program, 0o755), ("bin/sh", program, 0o755), ("tmp/", b"", 0o1777), *shell]
    config = {"Env": ["PATH=/bin"], "Cmd": ["/bin/sh"]}
    _write(
        BUSYBOX_IMAGE, program + repr(_SHELL_NAMES).encode(), lambda: layouts.write_single(BUSYBOX_IMAGE, files, config)
    )


def write_store() -> None:
    program = (BIN / "registry").read_bytes()
    files = [
        ("bin/registry", program, 0o755),
        ("etc/distribution/config.yml", _STORE_CONFIG.encode(), 0o644),
        ("var/lib/registry/", b"", 0o777),
        ("tmp/", b"", 0o1777),
    ]
    config = {
        "Env": ["PATH=/bin"],
        "Entrypoint": ["registry"],
        "Cmd": ["serve", "/etc/distribution/config.yml"],
        "ExposedPorts": {"5000/tcp": {}},
        "Volumes": {"/var/lib/registry": {}},
        "User": "65532:65532",
    }
    _write(STORE_IMAGE, program + _STORE_CONFIG.encode(), lambda: layouts.write_single(STORE_IMAGE, files, config))


def write_s3() -> None:
    program = (BIN / programs.S3).read_bytes()
    files = [(f"usr/local/bin/{programs.S3}", program, 0o755), ("tmp/", b"", 0o1777)]
    # Started like the upstream image, whose entrypoint passes its arguments on.
    config = {"Entrypoint": [f"/usr/local/bin/{programs.S3}"], "User": "65532:65532"}
    _write(S3_IMAGE, program, lambda: layouts.write_single(S3_IMAGE, files, config))


def write_azurite() -> None:
    files, start = azurite.image()
    config = {"Entrypoint": start, "User": "65532:65532"}
    pin = (BUILD / "stamp" / azurite.NAME).read_bytes() + repr(start).encode()
    _write(AZURITE_IMAGE, pin, lambda: layouts.write_single(AZURITE_IMAGE, [*files, ("tmp/", b"", 0o1777)], config))
