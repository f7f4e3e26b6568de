"""What the text of an option has to say: read into one canonical form, and open to a search."""

from __future__ import annotations

from abc import ABC, abstractmethod

from archsearch.spec.tree import Node


class Language(ABC):
    """The texts that an option allows.

    ``expected`` says in words what they are, ``searched`` what a search explores.
    """

    expected: str
    searched: str

    @abstractmethod
    def normal(self, text: str) -> str:
        """The one spelling of all texts that mean the same; raises SpaceError."""

    @abstractmethod
    def open(self) -> Node:
        """What ``options: search`` makes of it; its values are normal texts."""
