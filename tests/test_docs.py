"""What the documents claim: their examples work, their tables are made from today's code."""

import re
from pathlib import Path

import click
import configuration_reference
import man_page
import pytest

from proxyd.admin.endpoints import ENDPOINTS
from proxyd.cli import cli
from proxyd.config.load import ConfigErrors, Sources, load

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "conf").rglob("*.md")),
]
# What the README's example of mistakes has done to its example of a configuration.
SLIPS = (
    ("stat_prefix", "stat_prefx"),
    ("30s", "30 seconds"),
    ("STRICT_DNS", "STRICT_DSN"),
    ("connect_timeout: 1s", "respect_dns_ttl: true"),
)


def _place(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_the_readmes_configuration_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (text,) = _blocks(ROOT / "README.md", "yaml")
    monkeypatch.chdir(tmp_path)
    Path("proxyd.yaml").write_text(text, "utf-8")
    (listener,) = load(Sources(), environment={"PORT": "80"}).bootstrap.static_resources.listeners
    assert listener.address.socket_address.port_value == 80


def test_the_readmes_mistakes_are_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (text,) = _blocks(ROOT / "README.md", "yaml")
    (shown,) = _blocks(ROOT / "README.md", "text")
    for right, wrong in SLIPS:
        assert right in text
        text = text.replace(right, wrong, 1)
    monkeypatch.chdir(tmp_path)
    Path("proxyd.yaml").write_text(text, "utf-8")
    with pytest.raises(ConfigErrors) as errors:
        load(Sources(config_path="proxyd.yaml"), environment={})
    count = len(errors.value.mistakes)
    assert f"{errors.value}\nproxyd: {count} mistakes in the configuration\n" == shown


def test_the_tables_of_fields_are_made_from_todays_structs() -> None:
    page = configuration_reference.PAGE.read_text("utf-8")
    assert page == configuration_reference.replaced(page), "run scripts/configuration_reference.py"


@pytest.mark.parametrize("path", DOCUMENTS, ids=_place)
def test_links_lead_somewhere(path: Path) -> None:
    text = path.read_text("utf-8")
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in _headings(text)}
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in anchors, target
        elif "://" not in target:
            assert (path.parent / target.partition("#")[0]).exists(), target


def _headings(text: str) -> list[str]:
    return re.findall(r"^#+ (.+)$", text, re.MULTILINE)


@pytest.mark.parametrize("path", DOCUMENTS, ids=_place)
def test_commands_and_options_that_documents_name_exist(path: Path) -> None:
    for line in re.findall(r"\bproxyd ([a-z][a-z-]*(?: +[^`|\n;]*)?)", "\n".join(_code(path))):
        command: click.Command | None = cli
        words = line.split()
        while isinstance(command, click.Group) and words:
            command = command.commands.get(words.pop(0))
        assert command is not None, f"proxyd {line}"
        parts = [(command, words)]
        if "--" in words:  # what follows is for `proxyd start`
            at = words.index("--")
            parts = [(command, words[:at]), (cli.commands["start"], words[at + 1 :])]
        for part, options in parts:
            known = {option for parameter in part.params for option in parameter.opts} | {"--help"}
            assert {option for option in options if option.startswith("--")} <= known, line


def _code(path: Path) -> list[str]:
    """Indented blocks and `code`, where commands stand."""
    text = path.read_text("utf-8")
    inline = re.findall(r"`(proxyd [^`\n]+)`", text)
    return [line.strip() for line in text.splitlines() if line.startswith("    proxyd ")] + inline


def test_every_command_is_in_the_operations_page() -> None:
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    missing = [
        f"proxyd {name}: {word}"
        for name, command in cli.commands.items()
        for word in (f"proxyd {name}", *_long_options(command))
        if word not in page
    ]
    assert missing == []


def test_every_command_of_services_is_told() -> None:
    pages = "".join((ROOT / "docs" / name).read_text("utf-8") for name in ("operations.md", "deployment.md"))
    group = cli.commands["service"]
    assert isinstance(group, click.Group)
    missing = [
        f"proxyd service {name}: {word}"
        for name, command in group.commands.items()
        for word in (f"`{name}`", *_long_options(command))
        if word not in pages
    ]
    assert missing == []


def _long_options(command: click.Command) -> list[str]:
    return [option for parameter in command.params for option in parameter.opts if option.startswith("--")]


def test_the_manual_page_is_made_from_todays_commands() -> None:
    assert man_page.PAGE.read_text("utf-8") == man_page.page(), "run scripts/man_page.py"


def test_every_admin_path_is_in_the_operations_page() -> None:
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    assert [endpoint.path for endpoint in ENDPOINTS if f"`{endpoint.path}`" not in page] == []


def test_the_readme_quotes_the_benchmarks_results() -> None:
    results = (ROOT / "benchmarks" / "RESULTS.md").read_text("utf-8")
    heading = "## Least, as a ratio to Envoy\n\n"
    table = results[results.index(heading) + len(heading) :].partition("\n\n")[0]
    assert table.count("\n") > 5
    assert table in (ROOT / "README.md").read_text("utf-8")
