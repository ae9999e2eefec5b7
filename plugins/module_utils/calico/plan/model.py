# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a plan says: steps with their writes in order, what they mean, and what was seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ..finding import Finding
from ..policy.names import POLICY
from ..policy.transition import is_bridge
from ..verdict.reach import Obstacle
from ..verdict.vital_flows import Loss, open_questions

Object = dict[str, Any]

CRDS, ACCESS, FELIX, HOST_ENDPOINTS, POLICIES = "crds", "access", "felix", "host_endpoints", "policies"
# In the order in which they are carried out.
STEPS = (CRDS, ACCESS, FELIX, HOST_ENDPOINTS, POLICIES)

CREATE, UPDATE, DELETE = "create", "update", "delete"


@dataclass(frozen=True)
class Write:
    """One write.

    :ivar action: ``create``, ``update`` or ``delete``
    :ivar before: the object as it is stored when the run begins, None where it is not
    :ivar after: the object, or the fields of it that are written; None where it is deleted
    :ivar interim: belongs to the way only, as a bridge does that allows all meanwhile
    """

    action: str
    kind: str
    name: str
    before: Optional[Object] = None
    after: Optional[Object] = None
    namespace: str = ""
    interim: bool = False

    @property
    def title(self) -> str:
        return f"{self.kind} {self.namespace + '/' if self.namespace else ''}{self.name}"


UNSEEN = "reach is off: nobody looked whether this machine can still log in to the nodes and reach the API"
UNPROVED = (
    "prove is off: nodes that take no login do not stop the run, and apart from a switch's waves nobody logs "
    "in to them afterwards"
)


@dataclass(frozen=True)
class State:
    """What decides about hosts once a step is done.

    :ivar nodes: names of the nodes that have a HostEndpoint
    :ivar enforced: names of the enforced policies, as stored
    :ivar staged: names of the staged ones
    """

    nodes: tuple[str, ...] = ()
    enforced: tuple[str, ...] = ()
    staged: tuple[str, ...] = ()


@dataclass(frozen=True)
class Step:
    """One step, or of the policy sets one set.

    :ivar subject: the set's name; empty for the other steps
    :ivar changes_enforcement: whether the writes change what is enforced
    :ivar judged: whether it was judged who comes in afterwards: what is enforced changes, or stands, which
        whoever wrote it may not have proved
    :ivar unseen: why that was not judged although it should be, or empty
    :ivar enforced: whether its set is enforced once it is done
    :ivar at_risk: connections that are not plainly allowed afterwards
    :ivar losses: flows that nodes and the cluster live by, and that are not plainly allowed afterwards
    :ivar findings: what is to be known or fixed
    :ivar refusals: why none of the plan may be carried out
    """

    name: str
    subject: str = ""
    writes: tuple[Write, ...] = ()
    changes_enforcement: bool = False
    judged: bool = False
    unseen: str = ""
    enforced: bool = False
    at_risk: tuple[Obstacle, ...] = ()
    losses: tuple[Loss, ...] = ()
    findings: tuple[Finding, ...] = ()
    refusals: tuple[str, ...] = ()
    after: State = field(default_factory=State)

    @property
    def title(self) -> str:
        return f"{self.name} ({self.subject})" if self.subject else self.name

    @property
    def is_bridged(self) -> bool:
        """Whether the order of its writes has a policy in it that allows all meanwhile."""
        return any(write.kind == POLICY and is_bridge(write.name, self.subject) for write in self.writes)


@dataclass(frozen=True)
class WayBack:
    """How policy is brought back where nodes take no new login afterwards.

    :ivar sets: options of the module policies, in the order in which they are written
    :ivar message: what is then said before the names of those nodes
    """

    sets: tuple[Object, ...] = ()
    message: str = ""


@dataclass(frozen=True)
class Programmed:
    """What Felix makes chains of, so that it is to be seen in kernels.

    :ivar policies: by node, names of enforced policies, as stored
    :ivar gone: names of policies that are enforced no more
    """

    policies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    gone: tuple[str, ...] = ()

    def of(self, node: str) -> dict[str, list[str]]:
        """As the module prove takes it; nothing for a node whose Felix makes no chains."""
        if node not in self.policies:
            return {"policies": [], "absent_policies": []}
        return {"policies": list(self.policies[node]), "absent_policies": list(self.gone)}


@dataclass(frozen=True)
class Plan:
    """What would be written, and what it means.

    :ivar findings: of the cluster as a whole
    :ivar unreached: nodes with a HostEndpoint that could not be logged in to, where what is enforced changes
    :ivar refusals: why it may not be carried out, beyond those of the steps
    :ivar seen: a short hash of everything that the plan rests on, by kind and name
    :ivar way_back: of the policy sets that it changes
    :ivar stage_all: the way back where failsafes or HostEndpoints change
    :ivar prepared: what is to be seen in the kernels before the policy sets are written
    :ivar programmed: and after it
    :ivar unproved: names of the policy sets that an earlier run left enforced without a proof
    :ivar protection: what is protected before it; empty where the HostEndpoints were not looked at
    :ivar stays_enforced: whether policy of any set is enforced once all is done
    :ivar is_pending: whether a run that changed what is enforced did not come to its end
    :ivar unproved_on_purpose: whether nobody is to log in to the nodes afterwards
    """

    steps: tuple[Step, ...] = ()
    findings: tuple[Finding, ...] = ()
    unreached: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    seen: Mapping[str, str] = field(default_factory=dict)
    way_back: WayBack = field(default_factory=WayBack)
    stage_all: WayBack = field(default_factory=WayBack)
    prepared: Programmed = field(default_factory=Programmed)
    programmed: Programmed = field(default_factory=Programmed)
    unproved: tuple[str, ...] = ()
    protection: Mapping[str, Any] = field(default_factory=dict)
    stays_enforced: bool = False
    is_pending: bool = False
    unproved_on_purpose: bool = False

    @property
    def unseen(self) -> list[str]:
        """Checks that were switched off, and vital flows that cannot be judged for sure."""
        found = [f"{step.title}: {step.unseen}" for step in self.steps if step.unseen]
        found += [f"{step.title}: {text}" for step in self.steps for text in open_questions(step.losses)]
        if self.unproved_on_purpose and self.is_judged:
            found.append(UNPROVED)
        return found

    @property
    def all_refusals(self) -> list[str]:
        return [*self.refusals, *(text for step in self.steps for text in step.refusals)]

    @property
    def changes_enforcement(self) -> bool:
        return any(step.changes_enforcement for step in self.steps)

    @property
    def is_judged(self) -> bool:
        """Whether nodes are to be logged in to, before and after."""
        return any(step.judged for step in self.steps)

    @property
    def enforces(self) -> bool:
        """Whether a policy set governs nodes once all is done, so that their failsafes are to be verified."""
        return any(step.judged and step.enforced for step in self.steps)

    @property
    def by_switch(self) -> bool:
        """Whether the module enforce is to carry out the policy sets, by a switch if there can be one.

        A run that only takes sets back must work on nodes that are cut off, which no proof can: it goes by an
        order of writes, unless these would open hosts that policy goes on to govern.
        """
        steps = [step for step in self.steps if step.name == POLICIES]
        changes = any(step.changes_enforcement for step in steps)
        if not (steps and self.governed and (changes or self.is_pending)):
            return False
        return self.enforces or (self.stays_enforced and any(step.is_bridged for step in steps))

    @property
    def governed(self) -> Sequence[str]:
        """Nodes that have a HostEndpoint when all is done."""
        return self.steps[-1].after.nodes if self.steps else ()

    def has_writes(self, name: str) -> bool:
        return any(step.writes for step in self.steps if step.name == name)
