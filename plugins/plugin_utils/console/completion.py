# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Completion for shells, written from the argument parser itself."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

_BASH = """\
_hostfence() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command="" part
  for part in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $part in
%(commands)s
    esac
  done
  case "$command $before" in
%(values)s
  esac
  if [[ $word == -* ]]; then
    case $command in
%(options)s
    esac
    return
  fi
  if [[ -z $command ]]; then
    COMPREPLY=($(compgen -W "%(names)s" -- "$word"))
  else
    COMPREPLY=($(compgen -f -- "$word"))
  fi
}
complete -o filenames -F _hostfence hostfence
"""
_ZSH = "autoload -U +X bashcompinit && bashcompinit\n"


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The completion script for bash or zsh."""
    commands = dict(_commands(parser))
    everywhere = {"": parser, **commands}
    text = _BASH % {
        "commands": f"      {' | '.join(commands)}) [[ -n $command ]] || command=$part ;;",
        "values": "\n".join(line for name, one in everywhere.items() for line in _values(name, one)),
        "options": "\n".join(
            f'      "{name}") COMPREPLY=($(compgen -W "{" ".join(_options(one))}" -- "$word")) ;;'
            for name, one in everywhere.items()
        ),
        "names": " ".join(commands),
    }
    return (_ZSH if shell == "zsh" else "") + text


def _commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        yield from action.option_strings


def _values(name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if action.choices and not isinstance(action, argparse._SubParsersAction):
            for option in action.option_strings or [name]:
                words = " ".join(map(str, action.choices))
                yield f'    "{name} {option}") COMPREPLY=($(compgen -W "{words}" -- "$word")); return ;;'
