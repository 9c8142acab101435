"""What a model is worth in money: whom to contact, at what cost, for which gain, and how sure that is.

A contact costs the same for everybody. One who would have left and is contacted stays with the success rate, and is worth the
gain then. So contacting pays from a risk of cost / (success rate times gain) on: the break-even risk. None of the four numbers
is known to Rapport; the defaults are assumptions, and every report names them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.errors import ConfigurationError
from training.evaluation.intervals import DRAWS, Interval, bootstrap, interval_of, member_weights
from training.evaluation.weighted import Statistic, Weights
from training.evidence import Evidence, Judged

SHARES = np.linspace(0, 1, 101)
PER = 1000.0


@dataclass(frozen=True, slots=True)
class Campaign:
    """Assumptions about contacting members at risk, in the shop's currency.

    Attributes
    ----------
    contact_cost
        Of one contact, for everybody contacted.
    kept_gain
        Worth of a member who would have left and stays.
    success_rate
        Share of the leavers contacted who stay because of it.
    capacity
        Largest share of members that can be contacted.

    Raises
    ------
    ConfigurationError
        A number is out of its range.
    """

    contact_cost: float = 1.0
    kept_gain: float = 40.0
    success_rate: float = 0.1
    capacity: float = 1.0

    def __post_init__(self) -> None:
        ranges = {
            "contact cost": (self.contact_cost, 0.0, np.inf),
            "gain of a kept member": (self.kept_gain, 0.0, np.inf),
            "success rate": (self.success_rate, 0.0, 1.0),
            "capacity": (self.capacity, 0.0, 1.0),
        }
        for name, (number, low, high) in ranges.items():
            if not low <= number <= high:
                raise ConfigurationError(f"the {name} is {number}", remedy=f"give a number from {low:g} to {high:g}")

    @property
    def break_even(self) -> float:
        """Lowest risk at which a contact pays; infinite where none does."""
        worth = self.success_rate * self.kept_gain
        return self.contact_cost / worth if worth > 0 else np.inf

    def net(self, caught: NDArray[np.float64], contacted: NDArray[np.float64]) -> NDArray[np.float64]:
        """Net value of contacting so many, so many leavers among them."""
        return caught * self.success_rate * self.kept_gain - contacted * self.contact_cost


@dataclass(frozen=True, slots=True)
class ValueCurve:
    """Net value against the share contacted, for 1,000 members, the likeliest leavers first; mean over the test periods.

    Attributes
    ----------
    shares
        From 0 to 1 in steps of 0.01.
    net, low, high
        At each share, with its interval.
    best
        The share at which `net` is highest within the capacity: known only afterwards.
    """

    shares: NDArray[np.float64]
    net: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    best: float


@dataclass(frozen=True, slots=True)
class Plan:
    """Contacting the top share by score: everything for 1,000 members and one period, mean over the test periods.

    Attributes
    ----------
    share
        Contacted of all.
    catches, waste
        Contacted who would have left, and who would have stayed anyway.
    kept
        Leavers who stay because of it.
    cost, net
        Money spent, and money won less that.
    """

    share: float
    contacted: float
    catches: Interval
    waste: Interval
    kept: float
    cost: float
    net: Interval


def planned_share(evidence: Evidence, campaign: Campaign) -> float:
    """Share of members whose risk is above break-even, within the capacity: what can be decided before the outcome is known."""
    above = [float((one.answer > campaign.break_even).mean()) for one in evidence.judged]
    return min(float(np.mean(above)), campaign.capacity)


def value_curve(evidence: Evidence, campaign: Campaign, *, seed: int, draws: int = DRAWS) -> ValueCurve:
    """The curve of a churn model, with a bootstrap interval over members at each share."""
    parts = [_caught_by_share(one.truth, one.answer) for one in evidence.judged]
    ends = np.cumsum([len(one) for one in evidence.judged])[:-1]

    def net(weights: Weights) -> NDArray[np.float64]:
        caught = [part(own) for part, own in zip(parts, np.split(weights, ends), strict=True)]
        return campaign.net(np.mean(caught, axis=0), SHARES * PER)

    members = np.concatenate([one.member_ids for one in evidence.judged])
    value = net(np.ones(len(members)))
    drawn = np.array([net(weights) for weights in member_weights(members, seed=seed, draws=draws)])
    low, high = np.nanquantile(drawn, [0.025, 0.975], axis=0)
    within = np.where(campaign.capacity + 1e-9 >= SHARES, value, -np.inf)
    return ValueCurve(SHARES, value, low, high, float(SHARES[int(np.argmax(within))]))


def plan(evidence: Evidence, campaign: Campaign, share: float, *, seed: int, draws: int = DRAWS) -> Plan:
    """What contacting the top share by score catches, wastes, costs and brings, with bootstrap intervals over members."""
    members = np.concatenate([one.member_ids for one in evidence.judged])
    caught = caught_at(evidence.judged, [one.answer for one in evidence.judged], share)
    drawn = bootstrap({"caught": caught}, members, seed=seed, draws=draws)["caught"]
    catches = interval_of(caught(np.ones(len(members))), drawn)
    contacted = share * PER
    worth, cost = campaign.success_rate * campaign.kept_gain, contacted * campaign.contact_cost
    return Plan(
        share=share,
        contacted=contacted,
        catches=catches,
        waste=Interval(contacted - catches.value, contacted - catches.high, contacted - catches.low),
        kept=catches.value * campaign.success_rate,
        cost=cost,
        net=Interval(*(end * worth - cost for end in (catches.value, catches.low, catches.high))),
    )


def net_gain(evidence: Evidence, baseline: str, campaign: Campaign, share: float, *, seed: int, draws: int = DRAWS) -> Interval:
    """Net value for 1,000 members of ordering by the model rather than by a baseline, as many contacted."""
    members = np.concatenate([one.member_ids for one in evidence.judged])
    mine = caught_at(evidence.judged, [one.answer for one in evidence.judged], share)
    theirs = caught_at(evidence.judged, [one.others[baseline] for one in evidence.judged], share)
    drawn = bootstrap({"mine": mine, "theirs": theirs}, members, seed=seed, draws=draws)
    worth, ones = campaign.success_rate * campaign.kept_gain, np.ones(len(members))
    return interval_of((mine(ones) - theirs(ones)) * worth, (drawn["mine"] - drawn["theirs"]) * worth)


def caught_at(judged: tuple[Judged, ...], scores: list[NDArray[np.float64]], share: float) -> Statistic:
    """Leavers among the top share by score, for 1,000 members; mean over periods, as a function of row weights."""
    parts = [_caught_by_share(one.truth, score) for one, score in zip(judged, scores, strict=True)]
    ends = np.cumsum([len(one) for one in judged])[:-1]

    def value(weights: Weights) -> float:
        split = np.split(weights, ends)
        return float(np.mean([np.interp(share, SHARES, part(own)) for part, own in zip(parts, split, strict=True)]))

    return value


def _caught_by_share(truth: NDArray[np.generic], score: NDArray[np.float64]) -> "_Caught":
    order = np.argsort(-score, kind="stable")
    return _Caught(order, truth[order].astype(np.float64))


@dataclass(frozen=True, slots=True)
class _Caught:
    """Leavers among the top of every share, for 1,000 members, as a function of row weights."""

    order: NDArray[np.int64]
    left: NDArray[np.float64]

    def __call__(self, weights: Weights) -> NDArray[np.float64]:
        sorted_weights = weights[self.order]
        contacted = np.concatenate([[0.0], np.cumsum(sorted_weights)])
        caught = np.concatenate([[0.0], np.cumsum(sorted_weights * self.left)])
        at_shares: NDArray[np.float64] = np.interp(SHARES * contacted[-1], contacted, caught)
        return np.asarray(at_shares / contacted[-1] * PER)
