"""What the agent knows: the services and checks of its one node, and when each last changed.

Checks are watched by somebody else (`consul_checks`): the catalogue says which to start and stop,
and is told what they found.
"""

from collections import defaultdict
from dataclasses import replace
from typing import Protocol

from course_lib.stand_ins.consul_changes import Changes
from course_lib.stand_ins.consul_definitions import CheckDefinition, ServiceDefinition
from course_lib.stand_ins.consul_records import Check, Service
from course_lib.stand_ins.consul_values import Refused

_NO_REASON = "Maintenance mode is enabled for this {}, but no reason was provided. "
_NO_REASON += "This is a default message."


class Watcher(Protocol):
    """Whoever runs the checks."""

    def start(self, check: Check) -> None: ...
    def stop(self, check: Check) -> None: ...
    def follow(self, check: Check) -> None: ...


class Catalogue:
    """Services and checks by id; every change moves the index and wakes who watches it."""

    def __init__(self, changes: Changes) -> None:
        self.changes = changes
        self.services: dict[str, Service] = {}
        self.checks: dict[str, Check] = {}
        self.node_revision = 0
        self.watcher: Watcher
        self._by_name: defaultdict[str, dict[str, Service]] = defaultdict(dict)

    def named(self, name: str) -> list[Service]:
        """The instances of a service, sorted by id."""
        found = self._by_name.get(name, {})
        return [found[service_id] for service_id in sorted(found)]

    def node_checks(self) -> list[Check]:
        return [check for check in self.checks.values() if not check.service_id]

    def register(self, definition: ServiceDefinition, *, replace_checks: bool = False) -> None:
        """Add or replace a service; a check that was there before keeps its status."""
        known = self.services.get(definition.service_id)
        checks = _numbered(definition)
        if known is None or known.definition != definition:
            self._put(definition, known)
        service = self.services[definition.service_id]
        if replace_checks:
            kept = {check.check_id for check in checks}
            for check_id in [check_id for check_id in service.checks if check_id not in kept]:
                self.remove_check(check_id)
        for check in checks:
            self._put_check(check, service)

    def deregister(self, service_id: str) -> None:
        """Remove a service with its checks; `Refused` (404) when there is none."""
        service = self.services.get(service_id)
        if service is None:
            words = f'Unknown service ID "{service_id}".'
            raise Refused(
                404, f"{words} Ensure that the service ID is passed, not the service name."
            )
        for check_id in list(service.checks):
            self.remove_check(check_id)
        del self.services[service_id]
        self._unname(service.definition)
        self._touch_service(service.definition.name)

    def add_check(self, definition: CheckDefinition) -> None:
        """Add a check to a service, or to the node; `Refused` (404) for an unknown service."""
        service = self.services.get(definition.service_id)
        if definition.service_id and service is None:
            raise Refused(404, f'ServiceID "{definition.service_id}" does not exist')
        check_id = definition.check_id or definition.name
        self._put_check(replace(definition, check_id=check_id), service)

    def remove_check(self, check_id: str) -> None:
        check = self.check(check_id)
        self.watcher.stop(check)
        del self.checks[check_id]
        if check.service_id in self.services:
            del self.services[check.service_id].checks[check_id]
        self._touch_check(check)

    def check(self, check_id: str) -> Check:
        """The check of this id; `Refused` (404) when there is none."""
        if check_id not in self.checks:
            words = f'Unknown check ID "{check_id}".'
            raise Refused(404, f"{words} Ensure that the check ID is passed, not the check name.")
        return self.checks[check_id]

    def report(self, check: Check, status: str, output: str) -> None:
        """Take note of what a check found; only a change of status wakes anybody."""
        changed = check.status != status
        check.status, check.output = status, output
        self._forget_encoded(check)
        if changed:
            check.modify_index = self._touch_check(check)
        else:
            self.changes.touch_quietly()
        self.watcher.follow(check)

    def maintain(self, service_id: str | None, *, enable: bool, reason: str) -> None:
        """Take a service (None: the node) out of use by a critical check, or back into use."""
        if service_id is not None and service_id not in self.services:
            raise Refused(404, f'No service registered with ID "{service_id}"')
        place = "node" if service_id is None else "service"
        check_id = (
            "_node_maintenance" if service_id is None else f"_service_maintenance:{service_id}"
        )
        if enable and check_id not in self.checks:
            notes = reason or _NO_REASON.format(place)
            name = f"{place.capitalize()} Maintenance Mode"
            definition = CheckDefinition(check_id, name, "critical", notes, service_id or "")
            service = self.services[service_id] if service_id is not None else None
            self._put_check(definition, service, kind="maintenance")
        elif not enable and check_id in self.checks:
            self.remove_check(check_id)

    def _put(self, definition: ServiceDefinition, known: Service | None) -> None:
        if known is not None and known.definition.name != definition.name:
            self._unname(known.definition)
            self._touch_service(known.definition.name)
        index = self._touch_service(definition.name)
        service = Service(definition, index, index)
        if known is not None:
            service.create_index, service.checks = known.create_index, known.checks
            for check in service.checks.values():
                check.service_name, check.service_tags = definition.name, definition.tags
        self.services[definition.service_id] = service
        self._by_name[definition.name][definition.service_id] = service

    def _put_check(
        self, definition: CheckDefinition, service: Service | None, *, kind: str = ""
    ) -> None:
        owner = service.definition if service else ServiceDefinition("", "")
        check = Check(
            definition,
            check_id=definition.check_id,
            name=definition.name,
            kind=kind or definition.kind,
            status=definition.status or "critical",
            service_id=owner.service_id,
            service_name=owner.name,
            service_tags=owner.tags,
        )
        known = self.checks.get(check.check_id)
        if known is not None:
            self.watcher.stop(known)
            if known.service_id == check.service_id:
                check.status, check.output = known.status, known.output
                check.create_index, check.modify_index = known.create_index, known.modify_index
            elif known.service_id in self.services:
                del self.services[known.service_id].checks[known.check_id]
                self._touch_check(known)
        self.checks[check.check_id] = check
        if service:
            service.checks[check.check_id] = check
        if check != known:
            check.modify_index = self._touch_check(check)
            check.create_index = check.create_index or check.modify_index
        self.watcher.start(check)

    def _unname(self, definition: ServiceDefinition) -> None:
        del self._by_name[definition.name][definition.service_id]
        if not self._by_name[definition.name]:
            del self._by_name[definition.name]

    def _touch_service(self, name: str) -> int:
        return self.changes.touch("services", f"catalogue:{name}", f"service:{name}")

    def _forget_encoded(self, check: Check) -> None:
        if check.service_id in self.services:
            self.services[check.service_id].encoded = None
        elif not check.service_id:
            self.node_revision += 1

    def _touch_check(self, check: Check) -> int:
        self._forget_encoded(check)
        return self.changes.touch(
            f"service:{check.service_name}" if check.service_id else "node", "checks"
        )


def _numbered(definition: ServiceDefinition) -> list[CheckDefinition]:
    """Give the checks of a service their ids: `service:ID`, or `service:ID:1` and so on."""
    several = len(definition.checks) > 1
    return [
        replace(
            check,
            check_id=check.check_id or f"service:{definition.service_id}" + f":{number}" * several,
            name=check.name or f"Service '{definition.name}' check",
            service_id=definition.service_id,
        )
        for number, check in enumerate(definition.checks, start=1)
    ]
