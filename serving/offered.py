"""What is offered to everybody below own lists, worked out once for each set of models."""

from collections.abc import Sequence

from serving.bundle import ModelSet
from serving.candidates import Below, Scored
from serving.similar import goes_with, popular, popular_in_groups, popular_in_store


class Offered:
    """Popular items, those that sell in a store, and those that go with others."""

    def __init__(self) -> None:
        self._popular: tuple[ModelSet | None, list[Scored]] = (None, [])
        self._in_groups: list[list[Scored]] = []
        self._in_store: dict[str, list[Scored]] = {}

    def below(self, models: ModelSet, context: Sequence[str], store: str | None) -> Below:
        """The steps below the lists of members, for a basket or a page, and a store."""
        if self._popular[0] is not models:
            self._popular, self._in_store = (models, popular(models.recommender)), {}
            self._in_groups = popular_in_groups(models.recommender)
        with_context = goes_with(models.recommender, context)[0] if context else []
        return Below(with_context, self._selling_in(models, store), self._popular[1], self._in_groups)

    def _selling_in(self, models: ModelSet, store: str | None) -> list[Scored]:
        """What sells well in a store, sorted once."""
        if store is None:
            return []
        found = self._in_store.get(store) or popular_in_store(models.recommender, store)
        if found:
            self._in_store[store] = found  # only stores that the model knows: no client can make it grow
        return found
