# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which source of Felix's settings wins on a node.

The order follows felix/config/config_params.go and felix/calc/config_batcher.go of Calico v3.32.1: the
environment, the configuration file, ``node.<name>``, the selector-scoped configuration (the oldest, then by
name), ``default``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ..bad_input import BadInput
from ..mapping import mapping_of
from ..selector import parse as parse_selector

Object = Mapping[str, Any]

_YES = ("true", "1", "yes", "y", "t")


@dataclass(frozen=True)
class Setting:
    """What one source says of one field.

    :ivar source: the environment variable, the configuration file or the object, as messages name it
    :ivar textual: whether the value is text in the form of environment variables
    """

    source: str
    value: Any
    textual: bool


class FelixSettings:
    """All settings of one node's Felix.

    :param configurations: FelixConfiguration objects, of any flavour
    :param environment: of the running Felix, where it could be read
    :param config_file: settings of its configuration file, under the names of the variables
    """

    def __init__(
        self,
        configurations: Iterable[Object],
        node: str,
        labels: Mapping[str, str],
        environment: Optional[Mapping[str, str]] = None,
        config_file: Optional[Mapping[str, str]] = None,
    ) -> None:
        self._configurations = in_precedence(configurations, node, labels)
        # Felix compares the names of its variables and settings without regard to case.
        self._environment = _folded(environment)
        self._config_file = _folded(config_file)

    def said(self, field: str) -> Iterator[Setting]:
        """All that is said of a field, the strongest first. Felix parses the losing sources, too."""
        variable = variable_of(field)
        for settings, source in (
            (self._environment, f"environment variable {variable}"),
            (self._config_file, "Felix's configuration file"),
        ):
            text = settings.get(variable, "")
            if text.strip():
                yield Setting(source, text, textual=True)
        for item in self._configurations:
            value = mapping_of(item.get("spec")).get(field)
            if value is not None:
                yield Setting(f"FelixConfiguration {_metadata(item).get('name')}", value, textual=False)

    def value(self, field: str) -> Any:
        """The value that wins, as its source writes it; None where no source has one."""
        return next((setting.value for setting in self.said(field)), None)

    def flag(self, field: str, *, default: bool) -> bool:
        """The value that wins, as yes or no."""
        won = next(self.said(field), None)
        if won is None:
            return default
        return str(won.value).strip().lower() in _YES if won.textual else won.value is True


def _folded(settings: Optional[Mapping[str, str]]) -> dict[str, str]:
    return {name.upper(): text for name, text in (settings or {}).items()}


def variable_of(field: str) -> str:
    """The environment variable of a field."""
    return f"FELIX_{field.upper()}"


def in_precedence(configurations: Iterable[Object], node: str, labels: Mapping[str, str]) -> list[Object]:
    """The FelixConfigurations that apply to a node, the strongest first."""
    objects = {str(_metadata(item).get("name", "")): item for item in configurations}
    chain = [
        objects.get(f"node.{node}"),
        selector_scoped(objects.values(), labels),
        objects.get("default"),
    ]
    return [item for item in chain if item is not None]


def selector_scoped(configurations: Iterable[Object], labels: Mapping[str, str]) -> Optional[Object]:
    """The selector-scoped FelixConfiguration (Calico 3.32) that wins on a node with these labels."""
    matching = []
    for item in configurations:
        selector = mapping_of(item.get("spec")).get("nodeSelector")
        if not isinstance(selector, str) or not selector:
            continue
        try:
            if parse_selector(selector).matches(labels):
                matching.append(item)
        except BadInput:
            continue  # Felix leaves out a configuration whose selector it cannot read
    return min(
        matching,
        key=lambda item: (
            str(_metadata(item).get("creationTimestamp", "")),
            str(_metadata(item).get("name", "")),
        ),
        default=None,
    )


def _metadata(item: Object) -> Object:
    return mapping_of(item.get("metadata"))
