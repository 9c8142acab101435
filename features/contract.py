"""The registry of all aggregates and features, and the hash that two sides compare before they trust each other's numbers.

A declaration made in one of the modules listed in `CONTRACT` below is in the contract; nothing else has to be told.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType

from features import assortment, baskets, behaviour, browsing, campaigns, lifecycle, rfm
from features.declarations import DECAYED, GAP_KINDS, Aggregate, Declaration, Edge, Feature, Quintiles, Threshold
from features.errors import ConfigurationError
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
    thresholds: tuple[Threshold, ...] = ()

    @classmethod
    def of(cls, declarations: Iterable[Declaration]) -> "Contract":
        """The contract made of these declarations, checked.

        Raises
        ------
        ValueError
            Two declarations share a name; a feature rests on something that is not declared, or only after it; an aggregate
            needs the last day of its facts and names none of the same facts; or models would see a shop's own threshold.
        """
        unique = list({id(declaration): declaration for declaration in declarations}.values())
        widths = {"int32": 0, "int64": 1, "float64": 2}
        aggregates = [d for d in unique if isinstance(d, Aggregate)]
        contract = cls(
            aggregates=tuple(sorted(aggregates, key=lambda a: widths[a.dtype])),
            features=tuple(d for d in unique if isinstance(d, Feature)),
            quintiles=tuple(d for d in unique if isinstance(d, Quintiles)),
            thresholds=tuple(d for d in unique if isinstance(d, Threshold)),
        )
        contract._check()
        return contract

    @cached_property
    def hash(self) -> str:
        """64 hexadecimal digits over names, order, types, windows and definitions of everything declared."""
        lines = [
            *(["aggregate", a.name, a.dtype, a.unit, a.freshness, a.definition()] for a in self.aggregates),
            *(["quintiles", q.name, q.over.name, str(q.among)] for q in self.quintiles),
            *(["threshold", t.name, t.unit, t.default] for t in self.thresholds),
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

    @property
    def scalars(self) -> tuple[Edge | Threshold, ...]:
        """Every number that belongs to no member and that formulas may refer to: edges, then thresholds."""
        return (*self.edges, *self.thresholds)

    def threshold_values(self, chosen: Mapping[str, float]) -> dict[str, float]:
        """Every threshold by name: a shop's own choice, or the default.

        Raises
        ------
        ConfigurationError
            A choice is for a threshold that is not declared.
        """
        defaults = {threshold.name: float(threshold.default) for threshold in self.thresholds}
        unknown = sorted(set(chosen) - set(defaults))
        if unknown:
            raise ConfigurationError(
                f"no threshold is named {', '.join(unknown)}", remedy=f"choose from {', '.join(sorted(defaults))}"
            )
        return {**defaults, **{name: float(value) for name, value in chosen.items()}}

    def feature(self, name: str) -> Feature:
        """The feature of that name; KeyError if there is none."""
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Feature]:
        return {feature.name: feature for feature in self.features}

    def _check(self) -> None:
        for group in (self.aggregates, self.features, self.quintiles, self.scalars):
            names = [declaration.name for declaration in group]
            twice = {name for name in names if names.count(name) > 1}
            if twice:
                raise ValueError(f"declared more than once under one name: {', '.join(sorted(twice))}")
        for aggregate in self.aggregates:
            self._check_last_day(aggregate)
        self._check_features()

    def _check_last_day(self, aggregate: Aggregate) -> None:
        if aggregate.kind not in (DECAYED, *GAP_KINDS):
            return
        if aggregate.days is not None or (aggregate.half_life_days is None) == (aggregate.kind is DECAYED):
            raise ValueError(f"aggregate {aggregate.name} is of all history, and has a half-life only if it decays")
        last = aggregate.last_day
        if last is None or last not in self.aggregates:
            raise ValueError(f"aggregate {aggregate.name} needs last_day, a declared aggregate of the last day with a fact")
        if (last.table, str(last.where), str(last.value), last.days) != (
            aggregate.table,
            str(aggregate.where),
            "local_day",
            None,
        ):
            raise ValueError(f"aggregate {aggregate.name} has the last day of other facts: {last.name}")

    def _check_features(self) -> None:
        namesakes = {aggregate.name: aggregate for aggregate in self.aggregates}
        scalars = {"day", *(scalar.name for scalar in self.scalars)}
        known: set[Expression] = set(self.aggregates)
        for feature in self.features:
            if namesakes.get(feature.name, feature.formula) is not feature.formula:
                raise ValueError(f"feature {feature.name} has the name of an aggregate but another value")
            unknown = {str(s) for s in (*feature.sources(), *feature.operands()) if s not in known and str(s) not in scalars}
            if unknown:
                raise ValueError(f"feature {feature.name} rests on {', '.join(sorted(unknown))}, declared nowhere before it")
            own = [source.name for source in feature.sources() if isinstance(source, Threshold)]
            if own and feature.in_models:
                raise ValueError(f"feature {feature.name} is seen by models and rests on a shop's threshold: {own[0]}")
            known.add(feature)


def declarations_in(*modules: ModuleType) -> Iterator[Declaration]:
    """Every aggregate, feature, population edge and threshold bound to a public name of the modules, in order of appearance."""
    for module in modules:
        for name, value in vars(module).items():
            if not name.startswith("_"):
                for item in value.values() if isinstance(value, dict) else (value,):
                    if isinstance(item, Aggregate | Feature | Quintiles | Threshold):
                        yield item


CONTRACT = Contract.of(declarations_in(rfm, baskets, behaviour, assortment, browsing, campaigns, lifecycle))
CONTRACT_HASH = CONTRACT.hash
