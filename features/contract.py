"""The registry of all aggregates and features, and the hash that two sides compare before they trust each other's numbers.

A declaration made in one of the modules listed in `CONTRACT` below is in the contract; nothing else has to be told.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType

from features import behaviour, lifecycle, rfm
from features.declarations import Aggregate, Declaration, Edge, Feature, Quintiles
from features.expressions import Expression


@dataclass(frozen=True, eq=False)
class Contract:
    """A closed set of declarations in a fixed order.

    Attributes
    ----------
    aggregates
        In the order of the stored record: by dtype, then as declared.
    features
        In an order in which each stands after those it is made of. Columns of feature matrices follow it.
    """

    aggregates: tuple[Aggregate, ...]
    features: tuple[Feature, ...]
    quintiles: tuple[Quintiles, ...]

    @classmethod
    def of(cls, declarations: Iterable[Declaration]) -> "Contract":
        """The contract made of these declarations, checked.

        Raises
        ------
        ValueError
            Two declarations share a name; or a feature rests on something that is not declared, or only after it.
        """
        unique = list({id(declaration): declaration for declaration in declarations}.values())
        widths = {"int32": 0, "int64": 1, "float64": 2}
        aggregates = [d for d in unique if isinstance(d, Aggregate)]
        contract = cls(
            aggregates=tuple(sorted(aggregates, key=lambda a: widths[a.dtype])),
            features=tuple(d for d in unique if isinstance(d, Feature)),
            quintiles=tuple(d for d in unique if isinstance(d, Quintiles)),
        )
        contract._check()
        return contract

    @cached_property
    def hash(self) -> str:
        """64 hexadecimal digits over names, order, types, windows and definitions of everything declared."""
        lines = [
            *(["aggregate", a.name, a.dtype, a.unit, a.freshness, a.definition()] for a in self.aggregates),
            *(["quintiles", q.name, q.over.name, str(q.among)] for q in self.quintiles),
            *(["feature", f.name, f.unit, str(f.formula), ",".join(f.categories), f.in_models] for f in self.features),
        ]
        return hashlib.sha256(json.dumps(lines).encode()).hexdigest()

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """Names of all features, in the order of the columns of a feature matrix."""
        return tuple(feature.name for feature in self.features)

    @property
    def model_features(self) -> tuple[str, ...]:
        """Names of the features that models see, in contract order."""
        return tuple(feature.name for feature in self.features if feature.in_models)

    @property
    def edges(self) -> tuple[Edge, ...]:
        """Every population edge that a feature may refer to."""
        return tuple(edge for quintiles in self.quintiles for edge in quintiles.edges)

    def feature(self, name: str) -> Feature:
        """The feature of that name; KeyError if there is none."""
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Feature]:
        return {feature.name: feature for feature in self.features}

    def _check(self) -> None:
        for group in (self.aggregates, self.features, self.quintiles):
            names = [declaration.name for declaration in group]
            twice = {name for name in names if names.count(name) > 1}
            if twice:
                raise ValueError(f"declared more than once under one name: {', '.join(sorted(twice))}")
        namesakes = {aggregate.name: aggregate for aggregate in self.aggregates}
        scalars = {"day", *(edge.name for edge in self.edges)}
        known: set[Expression] = set(self.aggregates)
        for feature in self.features:
            if namesakes.get(feature.name, feature.formula) is not feature.formula:
                raise ValueError(f"feature {feature.name} has the name of an aggregate but another value")
            unknown = {str(s) for s in (*feature.sources(), *feature.operands()) if s not in known and str(s) not in scalars}
            if unknown:
                raise ValueError(f"feature {feature.name} rests on {', '.join(sorted(unknown))}, declared nowhere before it")
            known.add(feature)


def declarations_in(*modules: ModuleType) -> Iterator[Declaration]:
    """Every aggregate, feature and population edge bound to a public name of the modules, in order of appearance."""
    for module in modules:
        for name, value in vars(module).items():
            if not name.startswith("_"):
                for item in value.values() if isinstance(value, dict) else (value,):
                    if isinstance(item, Aggregate | Feature | Quintiles):
                        yield item


CONTRACT = Contract.of(declarations_in(rfm, behaviour, lifecycle))
CONTRACT_HASH = CONTRACT.hash
