# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The shape that all modules which talk to a cluster share."""

from __future__ import annotations

import gc
from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule

from ..calico.bad_input import BadInput
from .client import CONNECTION_OPTIONS, Cluster, ClusterError

Result = dict[str, Any]


class Unfinished(ClusterError):
    """Part of the work was done; says which.

    :param result: what the module returns in addition to the message, so that nothing done is hidden
    """

    def __init__(self, message: str, result: Result) -> None:
        super().__init__(message)
        self.result = result


def run(
    options: dict[str, Any], work: Callable[[AnsibleModule, Cluster], Result], **module_options: Any
) -> None:
    """Run a module: options in, one call, result out.

    :param options: the module's own argument spec; the connection options are added
    :param work: does the work and returns the result; what it refuses or cannot do becomes one
        clear line, never a traceback
    """
    module = AnsibleModule(
        argument_spec={**CONNECTION_OPTIONS, **options}, supports_check_mode=True, **module_options
    )
    conclude(module, lambda: work(module, Cluster.of_module(module)))


def conclude(module: AnsibleModule, work: Callable[[], Result]) -> None:
    """End a module with what its work returned, or in one line with why it did not come to an end.

    :param work: as in :func:`run`
    """
    # Thousands of decoded objects are not garbage, yet the collector would go through them again and again:
    # more than half of the time that reading 5,000 nodes takes. The process ends with the module.
    gc.disable()
    try:
        result = work()
    except Unfinished as unfinished:
        module.fail_json(msg=str(unfinished), **unfinished.result)
    except (BadInput, ClusterError) as refused:
        module.fail_json(msg=str(refused))
    else:
        module.exit_json(**result)
