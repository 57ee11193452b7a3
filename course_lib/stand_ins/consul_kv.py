"""The key/value store: every key remembers the index of its last change, for check-and-set.

Leaves out locks: there are no sessions.
"""

import base64
from dataclasses import dataclass
from typing import Any

from course_lib.stand_ins.consul_changes import Changes


@dataclass
class Entry:
    """One key; `value` in bytes, `flags` an opaque 64-bit number."""

    key: str
    value: bytes
    flags: int
    create_index: int
    modify_index: int

    def view(self) -> dict[str, Any]:
        """As it stands in an answer."""
        return {
            "LockIndex": 0,
            "Key": self.key,
            "Flags": self.flags,
            "Value": base64.b64encode(self.value).decode() if self.value else None,
            "CreateIndex": self.create_index,
            "ModifyIndex": self.modify_index,
        }


class KeyValues:
    """Keys and values with check-and-set, prefixes and indexes."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._entries: dict[str, Entry] = {}

    def get(self, key: str) -> list[Entry]:
        return [self._entries[key]] if key in self._entries else []

    def under(self, prefix: str) -> list[Entry]:
        return [self._entries[key] for key in sorted(self._entries) if key.startswith(prefix)]

    def keys(self, prefix: str, separator: str) -> list[str]:
        """The keys under a prefix, each cut after the first separator that follows the prefix."""
        found: dict[str, None] = {}
        for entry in self.under(prefix):
            rest = entry.key[len(prefix) :]
            cut = rest.find(separator) if separator else -1
            found[entry.key if cut < 0 else prefix + rest[: cut + len(separator)]] = None
        return list(found)

    def put(self, key: str, value: bytes, flags: int, cas: int | None) -> bool:
        """Set a key; with `cas` only when it was last changed at that index (0: does not exist)."""
        known = self._entries.get(key)
        if cas is not None and cas != (known.modify_index if known else 0):
            return False
        if known is None or (known.value, known.flags) != (value, flags):
            index = self._changes.touch("kv", f"kv:{key}")
            created = known.create_index if known else index
            self._entries[key] = Entry(key, value, flags, created, index)
        return True

    def delete(self, key: str, cas: int | None) -> bool:
        """Remove a key; with `cas` only when it was last changed at that index."""
        known = self._entries.get(key)
        if known is None:
            return True
        if cas is not None and cas != known.modify_index:
            return False
        self._remove(key)
        return True

    def delete_under(self, prefix: str) -> bool:
        for entry in self.under(prefix):
            self._remove(entry.key)
        return True

    def _remove(self, key: str) -> None:
        del self._entries[key]
        self._changes.touch("kv", f"kv:{key}")
