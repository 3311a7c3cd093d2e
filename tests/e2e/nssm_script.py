"""What scripts/install-nssm.ps1 tells NSSM, read from its text: nothing here runs PowerShell."""

import re
import shlex
from pathlib import Path
from typing import Final, Self

SCRIPT: Final = Path(__file__).resolve().parents[2] / "scripts" / "install-nssm.ps1"
_WORDS: Final = re.compile(r"^\$words = @\((.*?)\) \+ \$More$", re.MULTILINE | re.DOTALL)
_SETTING: Final = re.compile(r"^Invoke-Nssm set \$service (.*)$", re.MULTILINE)
_REGISTRY: Final = re.compile(
    r'^Set-ItemProperty -Path "HKLM:\\(.*)" -Name (\w+) `\n\s+-Type String -Value \$parameters$', re.MULTILINE
)
# The settings that are worked out, by their expressions.
_DRAIN: Final = "(($DrainSeconds + 10) * 1000)"
_LOG: Final = '(Join-Path $LogDirectory "$service.log")'


class NssmScript:
    """Raises AssertionError where the script is not written as it is read here."""

    def __init__(self, text: str) -> None:
        self._text: Final = text
        found = _REGISTRY.search(text)
        assert found, "where the command line is put"
        self._key: Final = found[1]
        self.value: Final = found[2]  # of the registry: what has the words behind the program

    @classmethod
    def read(cls) -> Self:
        return cls(SCRIPT.read_text("utf-8"))

    def key(self, service: str) -> str:
        """Where that value is, below HKEY_LOCAL_MACHINE."""
        return self._key.replace("$service", service)

    def words(self, **variables: str) -> list[str]:
        """What is started behind the program."""
        found = _WORDS.search(self._text)
        assert found, "the words of the command line"
        words = [word.strip().strip('"') for word in found[1].split(",")]
        return [variables[word[1:]] if word.startswith("$") else word for word in words]

    def settings(self, service: str, DrainSeconds: int) -> list[list[str]]:  # noqa: N803 - the script's name
        """The arguments of every `nssm set` behind the service's name, but where it logs and is called."""
        settings = []
        for line in _SETTING.findall(self._text):
            if _LOG in line or line.startswith("DisplayName "):
                continue
            words = shlex.split(line.replace(_DRAIN, str((DrainSeconds + 10) * 1000)))
            assert not any("$" in word for word in words), line
            settings.append(words)
        return settings
