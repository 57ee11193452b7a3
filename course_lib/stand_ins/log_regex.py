"""Regular expressions from outside, matched by RE2 as in Loki itself, so that none can hang.

RE2 takes time linear in the text, and refuses what needs backtracking (back references,
look-around). Leaves out nothing of its syntax.
"""

import re2

from course_lib.stand_ins.log_values import Refused, shortened

LONGEST_PATTERN = 1000


class Pattern:
    """A compiled pattern: `found_in(text)` is anywhere in it, with `whole` all of it.

    `Refused` (400) for a pattern that RE2 does not know or that is too large.
    """

    def __init__(self, source: str, *, whole: bool = False) -> None:
        if len(source) > LONGEST_PATTERN:
            raise Refused(400, f"a regular expression has at most {LONGEST_PATTERN} characters")
        options = re2.Options()
        options.dot_nl, options.log_errors, options.never_capture = whole, False, True
        try:
            compiled = re2.compile(_bytes(source), options)
        except re2.error as error:
            reason = error.args[0].decode(errors="replace")
            raise Refused(400, f"error parsing regexp: {reason}: {shortened(source)}") from None
        self._match = compiled.fullmatch if whole else compiled.search

    def found_in(self, text: str) -> bool:
        """Whether the pattern matches the text (anywhere in it, unless made with `whole`)."""
        return self._match(_bytes(text)) is not None


def _bytes(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair has no UTF-8
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
