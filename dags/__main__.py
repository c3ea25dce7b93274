"""`webtext COMMAND`: one command, one module beside this one."""

import argparse
import atexit
import contextlib
import gc
import importlib
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from types import ModuleType
from typing import NamedTuple, NoReturn


class Command(NamedTuple):
    """A command's module has `add_arguments(parser)`, `run(options) -> exit status` and `ERRORS`: what a person can mend."""

    module: str
    summary: str


COMMANDS = {
    "corpus": Command("dags.corpus", "build a corpus from submissions: the whole DAG"),
    "dedup": Command("dags.dedup", "drop near-duplicates from any Arrow, Parquet or JSONL corpus"),
    "vocab": Command("dags.vocab", "train the byte-level BPE on a corpus"),
    "tokens": Command("dags.tokens", "encode a corpus into token shards"),
    "train": Command("dags.train", "train GPT-2 on token shards"),
    "sample": Command("dags.sample", "let a checkpoint write"),
    "evaluate": Command("dags.evaluate", "score a checkpoint on the paper's test sets"),
    "export": Command("dags.export", "write a checkpoint as a Hugging Face folder"),
    "inspect": Command("dags.inspect", "what a corpus holds and what was thrown away"),
    "why": Command("dags.why", "what became of a URL"),
    "verify": Command("dags.verify", "recompute every hash and count of the manifest"),
    "remove": Command("dags.remove", "take documents out of a finished corpus"),
    "try": Command("dags.try_page", "one page through extraction and rules"),
}


def command_list() -> str:
    width = max(map(len, COMMANDS)) + 2
    return "\n".join(f"  {name:<{width}}{command.summary}" for name, command in COMMANDS.items())


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.  0 done, 1 failed with one sentence on stderr, 2 wrong use."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    top = argparse.ArgumentParser(
        prog="webtext",
        description="From Reddit's outbound links to a WebText-like corpus, its tokenizer and its GPT-2.",
        epilog=f"commands:\n{command_list()}\n\n`webtext COMMAND --help` says more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"webtext {version('webtext')}")
    top.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="see below")
    # Only the first word is ours: a command imports its own libraries and no others.
    chosen = top.parse_args(arguments[:1]).command
    try:
        module = imported(COMMANDS[chosen].module)
        return ran(module, chosen, arguments[1:])
    except KeyboardInterrupt:
        print(f"webtext {chosen}: stopped; run the same command again to go on", file=sys.stderr)
        return 130


def imported(name: str) -> ModuleType:
    """A command's module.  What it imports stays to the end: looking for garbage in it is a third of the time."""
    gc.disable()
    try:
        return importlib.import_module(name)
    finally:
        gc.freeze()
        gc.enable()


def ran(module: ModuleType, name: str, arguments: Sequence[str]) -> int:
    """The exit status of a command's module with these arguments."""
    parser = argparse.ArgumentParser(
        prog=f"webtext {name}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.add_arguments(parser)
    parse = getattr(module, "parse", argparse.ArgumentParser.parse_args)  # `corpus` passes what it does not know on to Beam
    options = parse(parser, arguments)
    try:
        return module.run(options)
    except module.ERRORS as error:
        print(f"webtext {name}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `webtext inspect | head`
        sys.stderr.close()
        return 1


def program() -> NoReturn:
    """The command as a program.  Python does not wind down: a library's thread that asks for it then would abort the process."""
    status = main()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # nobody reads it, or it is closed
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    program()
