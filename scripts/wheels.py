"""Build what is published, and show that it is reproducible: `python scripts/wheels.py [FOLDER]`.

`python -m build` makes the source distribution and, from it, the wheel; with PROXYD_MYPYC=1 the compiled one,
where there is a C compiler. Everything is built twice, and the digests have to be the same. FOLDER is `dist`
if unsaid.
"""

import hashlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

import compiled
import environment as env

# The date that files in archives bear (https://reproducible-builds.org/specs/source-date-epoch/).
_DATE = "1577836800"


def main(arguments: list[str]) -> int:
    """Build, compare and keep the result; 0, or 1 where two builds differ, 2 where nothing can be built."""
    folder = Path(arguments[0] if arguments else env.ROOT / "dist").absolute()
    kinds = [("plain", "0")]
    missing = compiled.missing_tools()
    if missing:
        env.say(f"wheels: no compiled wheel, {missing}")
    else:
        kinds.append(("compiled", "1"))
    try:
        tools = env.prepare("test")
        env.pip(tools, ["install", "build"], "the package build could not be installed")
        return max(_twice(tools, folder, *kind) for kind in kinds)
    except env.SetupError as failure:
        env.say(f"\nFAILED: {failure}")
        return 2


def _twice(tools: env.Environment, folder: Path, name: str, mypyc: str) -> int:
    digests = []
    for attempt in (1, 2):
        env.say(f"wheels: {name}, build {attempt} of 2")
        with tempfile.TemporaryDirectory(prefix="proxyd-dist-") as made:
            _build(tools, Path(made), mypyc)
            files = sorted(Path(made).iterdir())
            digests.append({file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files})
            folder.mkdir(parents=True, exist_ok=True)
            for file in files:
                shutil.copy(file, folder)
    for archive, digest in digests[0].items():
        env.say(f"wheels: {digest} {archive}")
    if digests[0] != digests[1]:
        env.say(f"\nFAILED: the second time it was {digests[1]}")
        return 1
    return 0


def _build(tools: env.Environment, folder: Path, mypyc: str) -> None:
    switches = {"PROXYD_MYPYC": mypyc, "SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH", _DATE)}
    command = [str(tools.python), "-m", "build", "--outdir", str(folder), str(env.ROOT)]
    env.run(command, tools, "it could not be built", tools.folder / "proxyd-build.log", switches)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
