# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one exception for input that must not reach a cluster."""

from __future__ import annotations


class BadInput(ValueError):
    """Input that is refused before anything is written.

    :param field: path of the field as the user wrote it, for example ``spec.ingress[0].source.nets[1]``
    :param value: the value found there
    :param remedy: one sentence that says what would be right
    :param source: where the field stands (a file, an object's kind and name), or empty
    """

    def __init__(self, field: str, value: object, remedy: str, source: str = "") -> None:
        self.field = field
        self.value = value
        self.remedy = remedy
        self.source = source
        # A name that an API stores can hold a line break, and the message is one line.
        place = f"{source if source.isprintable() else repr(source)}: " if source else ""
        super().__init__(f"{place}{field}: {value!r}: {remedy}")

    def within(self, prefix: str, source: str = "") -> BadInput:
        """The same error, seen from an outer field or a file.

        :param prefix: put before the field, joined by a dot unless empty
        :param source: named where the error has no source yet
        :returns: a new exception
        """
        field = f"{prefix}.{self.field}" if prefix and self.field else prefix or self.field
        return BadInput(field, self.value, self.remedy, self.source or source)
