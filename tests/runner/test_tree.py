"""A model's digest and its tar: one for one tree, and nothing but plain files."""

import hashlib
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipway.runner import tree
from slipway.runner.outcome import Refused


def planted(folder: Path, files: dict[str, bytes]) -> Path:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


FILES = {"b": b"2", "a/z": b"1", "a b/ü": b"", "a.txt": b"three"}


def test_the_digest_is_defined_byte_for_byte(tmp_path: Path) -> None:
    lines = [(path, content) for path, content in sorted(FILES.items(), key=lambda item: item[0].encode())]
    text = "".join(f"{path} {len(content)} {hashlib.sha256(content).hexdigest()}\n" for path, content in lines)
    wanted = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    assert tree.digest(tree.scan(planted(tmp_path, FILES))) == wanted


def test_times_owners_and_modes_change_neither_digest_nor_tar(tmp_path: Path) -> None:
    one, other = planted(tmp_path / "one", FILES), planted(tmp_path / "other", dict(reversed(FILES.items())))
    (other / "b").chmod(0o600)
    os.utime(other / "b", (1, 1))
    assert tree.scan(one) == tree.scan(other)
    assert b"".join(tree.pack(one, tree.scan(one))) == b"".join(tree.pack(other, tree.scan(other)))


NAMES = st.text(st.characters(categories=["L", "N"], include_characters="._- "), min_size=1, max_size=40).filter(
    lambda name: name not in (".", "..")
)


@given(st.dictionaries(NAMES, st.binary(max_size=2000), min_size=1, max_size=6))
def test_what_is_packed_is_what_is_unpacked(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]) -> None:
    before, after = tmp_path_factory.mktemp("before"), tmp_path_factory.mktemp("after")
    packed = b"".join(tree.pack(planted(before, files), tree.scan(before)))
    tree.unpack(io.BytesIO(packed), after, max_bytes=len(packed))
    assert tree.scan(after) == tree.scan(before)


@pytest.mark.parametrize(
    "plant",
    [
        lambda path: path.symlink_to("/etc/passwd"),
        lambda path: path.symlink_to("MLmodel"),
        os.mkfifo,
    ],
    ids=["link out", "link inside", "pipe"],
)
def test_only_regular_files_have_a_digest(tmp_path: Path, plant: Callable[[Path], object]) -> None:
    plant(tmp_path / "model.bin")
    with pytest.raises(Refused) as refused:
        tree.scan(tmp_path)
    assert refused.value.reason == "UnsafeArtifact"


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info


def tar(*members: tarfile.TarInfo) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for each in members:
            archive.addfile(each, io.BytesIO(bytes(each.size)))
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (tar(member("../escaped")), "UnsafeArtifact"),
        (tar(member("/etc/cron.d/escaped")), "UnsafeArtifact"),
        (tar(member("a/../../escaped")), "UnsafeArtifact"),
        (tar(member("a", tarfile.SYMTYPE, "/tmp"), member("a/escaped")), "UnsafeArtifact"),
        (tar(member("a", tarfile.LNKTYPE, "/etc/passwd")), "UnsafeArtifact"),
        (tar(member("a", tarfile.CHRTYPE)), "UnsafeArtifact"),
        (tar(member("a", tarfile.FIFOTYPE)), "UnsafeArtifact"),
        (tar(member("a"), member("a")), "UnsafeArtifact"),
        (tar(member("a", size=5000)), "ArtifactTooLarge"),
        (b"not a tar at all" * 100, "DigestMismatch"),
        (tar(member("a", size=2000))[:1000], "DigestMismatch"),
    ],
    ids=[
        "up",
        "absolute",
        "up-inside",
        "link-then-write",
        "hardlink",
        "device",
        "pipe",
        "twice",
        "large",
        "garbage",
        "cut",
    ],
)
def test_a_hostile_layer_is_refused_and_writes_nothing_outside(tmp_path: Path, content: bytes, reason: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    with pytest.raises(Refused) as refused:
        tree.unpack(io.BytesIO(content), folder, max_bytes=4000)
    assert refused.value.reason == reason
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
