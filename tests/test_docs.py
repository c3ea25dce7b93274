"""Every command in the README and docs is one that exists, with flags it has; links lead somewhere; snippets run."""

import argparse
import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from dags.__main__ import COMMANDS

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md"), ROOT / "examples" / "README.md"])
CODE = re.compile(r"^```(?:console|sh|bash)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[str]:
    """Lines of console blocks, prompts and continuations undone."""
    found = []
    for block in CODE.findall(page.read_text()):
        for line in block.replace("\\\n", " ").splitlines():
            words = re.sub(r"\s#.*", "", line).removeprefix("$ ").strip()
            if words:
                found.append(words)
    return found


def every_command(word: str) -> list[tuple[str, str]]:
    """Commands whose program is `word`, with the page they stand on."""
    found = []
    for page in PAGES:
        for command in commands(page):
            if Path(shlex.split(command)[0]).name == word:
                found.append((page.name, command))
    return found


@pytest.mark.parametrize(("page", "command"), every_command("webtext"))
def test_webtext_commands_are_understood(page: str, command: str) -> None:
    name, *arguments = re.split(r"[|>&]", command)[0].strip().split(maxsplit=1)[1].split(maxsplit=1)
    words = shlex.split(arguments[0]) if arguments else []
    if name == "--help" or not name[0].isalpha():
        return
    module = importlib.import_module(COMMANDS[name].module)
    parser = argparse.ArgumentParser(allow_abbrev=False)
    module.add_arguments(parser)
    if "--help" in words:
        return
    getattr(module, "parse", argparse.ArgumentParser.parse_args)(parser, words)


@pytest.mark.parametrize(("page", "command"), every_command("make"))
def test_make_targets_exist(page: str, command: str) -> None:
    result = subprocess.run(
        ["make", "--dry-run", "--always-make", *shlex.split(command)[1:]], cwd=ROOT, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 150


def test_help_names_every_command() -> None:
    result = subprocess.run([sys.executable, "-m", "dags", "--help"], capture_output=True, text=True, timeout=60, check=True)
    assert all(f"  {name} " in result.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    module = importlib.import_module(COMMANDS[name].module)
    assert module.__doc__
    assert module.ERRORS
    parser = argparse.ArgumentParser(allow_abbrev=False)
    module.add_arguments(parser)
    assert all(action.help for action in parser._actions), [action.dest for action in parser._actions if not action.help]


def test_the_page_of_reasons_is_as_the_code_has_them() -> None:
    reasons = importlib.import_module("dags.reasons")
    assert (ROOT / "docs" / "reasons.md").read_text() == reasons.reasons_page()
