# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The agent's configuration; any fault in it ends the program."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .bad_input import BadInput
from .host_endpoint import HostEndpointTemplate, NamedPort
from .host_endpoint_auto import AutoHostEndpoints, templates_of


@dataclass(frozen=True)
class Configuration:
    """The same for all nodes of a cluster.

    :ivar api_version: group and version that the cluster stores Calico's resources in
    :ivar networks: which HostEndpoints each node has
    :ivar node_selector: which nodes a job is to cover; an agent covers the one that it runs on
    """

    api_version: str
    template: HostEndpointTemplate
    node_selector: str
    networks: AutoHostEndpoints

    @property
    def host_endpoints(self) -> str:
        """URL path of all HostEndpoints."""
        return f"/apis/{self.api_version}/hostendpoints"


def read(path: Path) -> Configuration:
    """Read the configuration file, which the role host_endpoints writes.

    :raises BadInput: it is absent, is no JSON, or says something that no HostEndpoint can be
    """
    try:
        said: dict[str, Any] = json.loads(path.read_text())
        return Configuration(
            api_version=said["api_version"],
            node_selector=said["node_selector"],
            networks=AutoHostEndpoints(
                enabled=True,
                create_default=said["create_default"],
                templates=tuple(templates_of(said["templates"])),
            ),
            template=HostEndpointTemplate(
                labels=said["labels"],
                node_labels=said["node_labels"],
                interface=said["interface"],
                profiles=said["profiles"],
                ports=[NamedPort(**port) for port in said["ports"]],
            ),
        )
    except BadInput as refused:
        raise refused.within("", str(path))
    except KeyError as absent:
        raise BadInput(str(absent.args[0]), None, "is missing", str(path))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise BadInput("configuration", str(error), "must be the JSON that the role writes", str(path))
