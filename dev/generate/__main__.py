"""Write what is generated: CRDs and the chart's copies of them, reference pages.

python dev/generate            # write
python dev/generate --check    # exit 1, naming what is out of date
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "operator")]  # so that it runs from anywhere, installed or not

from dev.generate import crds, pages, values  # noqa: E402
from dev.generate.schema import Incomplete  # noqa: E402

CHART = "charts/slipway/templates/crds"
REFERENCE = "docs/reference"
FOLDERS = {"crds": "*.yaml", CHART: "*.yaml", REFERENCE: "*.md"}  # of generated files only: what is none any more goes


def outputs() -> Iterator[tuple[str, str]]:
    """Every generated file, as (path, text)."""
    for kind in crds.KINDS:
        yield f"crds/{crds.name_of(kind)}.yaml", crds.file(kind)
        yield f"{CHART}/{crds.name_of(kind)}.yaml", crds.template(kind)
    for path, text in pages.all_pages():
        yield f"{REFERENCE}/{path}", text
    yield f"{REFERENCE}/values.md", values.page((ROOT / "charts/slipway/values.yaml").read_text(encoding="utf-8"))


def main() -> int:
    """Write or check; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is out of date")
    check = parser.parse_args().check
    try:
        wanted = dict(outputs())
    except Incomplete as problem:
        print(problem, file=sys.stderr)
        return 1
    stale = [path for path, text in wanted.items() if not _says(ROOT / path, text)]
    left = [path for path in _present() if path not in wanted]
    if check:
        for path in stale:
            print(f"out of date: {path}", file=sys.stderr)
        for path in left:
            print(f"not generated any more: {path}", file=sys.stderr)
        if stale or left:
            print("run: python dev/generate", file=sys.stderr)
        return 1 if stale or left else 0
    for path in stale:
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(wanted[path], encoding="utf-8")
        print(f"wrote {path}")
    for path in left:
        (ROOT / path).unlink()
        print(f"removed {path}")
    return 0


def _says(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def _present() -> Iterator[str]:
    for folder, files in FOLDERS.items():
        for path in sorted((ROOT / folder).glob(files)):
            yield str(path.relative_to(ROOT))


if __name__ == "__main__":
    sys.exit(main())
