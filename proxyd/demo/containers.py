"""Demonstration 1 with a container for each process: ``python -m proxyd.demo.containers``, see compose.yaml.

``files DIR`` lays the files of conf/front-proxy and certificates into DIR, as they are to be where every
process has an address of its own; ``application NAME`` is the dog or the cat.
"""

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Final

from proxyd.demo.application import Application
from proxyd.demo.front import APPLICATIONS, write_certificates
from proxyd.demo.stage import conf

_PORTS: Final = {page.name: port for port, page in APPLICATIONS.items()}


def main(words: list[str]) -> int:
    """Do what the words say; 2 where they make no sense."""
    if len(words) == 2 and words[0] == "files":
        lay(Path(words[1]))
    elif len(words) == 2 and words[0] == "application" and words[1] in _PORTS:
        _serve(words[1])
    else:
        sys.stderr.write("usage: files DIR | application dog|cat\n")
        return 2
    return 0


def lay(directory: Path) -> None:
    """Files and certificates; in a container they belong to the user that its proxies run as."""
    for source in sorted(conf("front-proxy").glob("*/*.yaml")):
        copy = directory / source.relative_to(conf("front-proxy"))
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(_apart(copy.parent.name, copy.name, source.read_text("utf-8")), "utf-8")
    shutil.copyfile(directory / "dog" / "lds.yaml", directory / "dog" / "lds-original.yaml")
    certificates = directory / "certs"
    certificates.mkdir(exist_ok=True)
    write_certificates(certificates)
    if run_directory := os.environ.get("PROXYD_RUN_DIR"):
        owner = os.stat(run_directory)
        for path in (directory, *directory.rglob("*")):
            shutil.chown(path, owner.st_uid, owner.st_gid)


def _apart(service: str, file: str, text: str) -> str:
    """What one file is where the processes do not share a loopback address."""
    if file == "cds.yaml" and service == "front":
        for name in _PORTS:
            text = re.sub(
                rf"(  name: {name}\n  type: )STATIC(.*?address: )127\.0\.0\.1",
                rf"\g<1>STRICT_DNS\g<2>{name}",
                text,
                count=1,
                flags=re.DOTALL,
            )
        return text
    if file == "cds.yaml" or (file == "envoy.yaml" and service != "front"):
        return text  # the application beside the sidecar, and an admin API for nobody else
    return text.replace("address: 127.0.0.1", "address: 0.0.0.0")


def _serve(name: str) -> None:
    port = _PORTS[name]
    with Application(APPLICATIONS[port], port) as application:
        application.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
