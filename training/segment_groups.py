"""The eight customer groups by name: where each lies in the space, what marks it in words, and what marketing does for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.predictors.segment_space import SegmentSpace


@dataclass(frozen=True, slots=True)
class Group:
    """One group.

    Attributes
    ----------
    where
        The rule behind its name: standard deviations from the shop's mean, by axis of the space. Axes not named do not matter.
    needs
        Axes without which nobody can be told to belong to it: the group is left out then.
    meaning, meaning_zh
        What marks its members, in a clause.
    action, action_zh
        What marketing does.
    """

    name: str
    chinese: str
    where: Mapping[str, float]
    needs: tuple[str, ...]
    meaning: str
    meaning_zh: str
    action: str
    action_zh: str


GROUPS = (
    Group(
        "loyal_vip", "忠诚VIP", {"silence": -0.8, "frequency": 1.4, "spend": 1.4}, ("frequency",),
        "come most often and spend most", "来得最勤、花得最多",
        "own service and early access; no coupons needed", "专属服务、优先购买，不必发券",
    ),
    Group(
        "high_value_repeat", "高价值复购", {"silence": -0.5, "frequency": 0.4, "spend": 0.8}, ("frequency",),
        "buy again and again for more than most", "稳定复购，消费高于多数会员",
        "repeat incentives and the next category", "复购激励与跨品类推荐",
    ),
    Group(
        "promising_new", "潜力新客", {"newness": 0.8, "trend": 1.3, "frequency": -0.3, "spend": -0.3}, ("trend",),
        "came lately, or come more often than before", "新近到店，或来得比以前更勤",
        "welcome gift and an incentive for the next order", "欢迎礼与下一单激励",
    ),
    Group(
        "about_to_leave", "即将流失", {"silence": 0.9, "trend": -1.3, "frequency": -0.6, "spend": -0.6}, ("trend",),
        "come less often than they did", "来得比以前少",
        "a reminder and a coupon before the silence grows", "在沉默之前提醒并发券",
    ),
    Group(
        "price_sensitive", "价格敏感", {"discount": 1.3}, ("discount",),
        "buy what is reduced", "偏爱打折商品",
        "price news and bundles; margins need watching", "推送降价与组合装，注意毛利",
    ),
    Group(
        "scene_driven", "场景驱动", {"scene": 1.3, "spend": -0.5}, ("scene",),
        "come for a few categories", "只为少数品类而来",
        "what goes with these categories", "推荐与这些品类相配的商品",
    ),
    Group(
        "activity_sensitive", "活动敏感", {"coupon": 1.6}, ("coupon",),
        "buy with coupons, when there is a campaign", "有活动、有券才买",
        "invite to campaigns; hold coupons back from others", "邀请参加活动，券留给他们",
    ),
    Group(
        "silent_to_wake", "沉默待唤醒", {"silence": 2.3, "frequency": -2.0, "spend": -2.0, "trend": -1.0}, ("silence",),
        "have not bought for long", "很久没有购买",
        "one wake-up gift, then rest", "发一次唤醒礼，之后不再打扰",
    ),
)  # fmt: skip
"""In the order in which bundles count them."""
_BY_NAME = {group.name: group for group in GROUPS}


def group(name: str) -> Group:
    """The group of that name; KeyError if there is none."""
    return _BY_NAME[name]


def groups_told(axes: Sequence[str]) -> tuple[Group, ...]:
    """Groups that can be told apart by these axes."""
    return tuple(group for group in GROUPS if set(group.needs) <= set(axes))


def prototypes(groups: Sequence[Group], space: SegmentSpace) -> NDArray[np.float64]:
    """Where the rule of each group lies, shape (groups, axes)."""
    return np.array([space.place(group.where) for group in groups])
