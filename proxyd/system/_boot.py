"""How a fresh interpreter comes to run one of our modules, on every system."""

import os
from typing import Final

import proxyd

# Where the running proxyd is: a checkout that is not installed, too.
ROOT: Final = os.path.dirname(os.path.dirname(os.path.abspath(proxyd.__file__)))


def boot_code(root: str, module: str) -> str:
    """A program for ``python -P -c`` that runs ``module`` of the proxyd in the directory ``root``.

    That goes behind the standard library and before site-packages: the same copy is found, yet no file there
    shadows a standard module.
    """
    return f"""\
import sys
at = next((i for i, p in enumerate(sys.path) if p.endswith("-packages")), len(sys.path))
sys.path.insert(at, {root!r})
import runpy
runpy.run_module({module!r}, run_name="__main__", alter_sys=True)
"""
