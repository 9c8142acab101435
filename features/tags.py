"""The one dictionary of tags: every declared tag by name, and what tags are made from a shop's own data."""

from collections import Counter
from dataclasses import dataclass

from features.tag_families import (
    basic,
    browsing,
    channel,
    latent_need,
    lifecycle_value,
    preference,
    rhythm,
    risk,
    scene,
    trend,
)
from features.tag_families.declaring import Tag, TagFamily, Topic

_DECLARED = (
    *basic.TAGS,
    *preference.TAGS,
    *scene.TAGS,
    *channel.TAGS,
    *browsing.TAGS,
    *lifecycle_value.TAGS,
    *rhythm.TAGS,
    *trend.TAGS,
    *risk.TAGS,
    *latent_need.TAGS,
)
TAGS: dict[str, Tag] = {tag.name: tag for tag in _DECLARED}
"""Every declared tag, by family and as declared within it."""

TOPICS: tuple[Topic, ...] = (*scene.SCENES, *latent_need.TOPICS)
"""Goods that tags speak of, recognised by words."""


@dataclass(frozen=True, slots=True)
class TagPattern:
    """Tags made for each value that a shop's own data have. `<value>` is that value in lower case, `_` for blanks."""

    name: str
    family: TagFamily
    meaning: str
    chinese: str
    use: str


BOUGHT_WINDOWS = (30, 90, 180)
VIEWED_WINDOWS = (7, 30)
CATALOGUE_COLUMNS = {"category": 300, "department": 60, "brand": 100}
"""Columns of `items` that tags are made of, and how many of their values: those with most buyers."""
MEMBER_COLUMNS = ("gender", "region", "home_store", "age_band", "household_size", "children")
"""Columns of `members` whose values are tags as they stand."""
MOST_MEMBER_VALUES = 200
"""Values of one column of `members` that become tags: those with most members."""


def bought(column: str, value: str, days: int) -> str:
    """Name of the tag of members who bought from a category, department or brand within a window."""
    kind = "" if column == "category" else f"{column}:"
    return f"bought:{kind}{value}_{days}d"


def viewed(column: str, value: str, days: int) -> str:
    """Name of the tag of members who looked at a category, department or brand within a window."""
    kind = "" if column == "category" else f"{column}:"
    return f"viewed:{kind}{value}_{days}d"


def favourite(column: str, value: str) -> str:
    """Name of the tag of members who spent most on a category, department or brand in 180 days."""
    return f"favourite_{column}={value}"


def of_member(column: str, value: str) -> str:
    """Name of the tag of members with a value in a column of `members`."""
    return f"{column}={value}"


_CATALOGUE_WORDS = {"category": "品类", "department": "部门", "brand": "品牌"}
_MEMBER_WORDS = {
    "gender": "性别（会员自述）",
    "region": "地区",
    "home_store": "注册门店",
    "age_band": "年龄段",
    "household_size": "家庭人数",
    "children": "子女数",
}
PATTERNS: tuple[TagPattern, ...] = (
    *(
        TagPattern(
            bought(column, "<value>", days),
            "preference",
            f"bought from the {column} in {days} days",
            f"{days}天内购买该{chinese}",
            "what goes with it; left out of campaigns for those who have it" if days == 30 else "buyers of the " + column,
        )
        for column, chinese in _CATALOGUE_WORDS.items()
        for days in BOUGHT_WINDOWS
    ),
    *(
        TagPattern(
            viewed(column, "<value>", days),
            "preference",
            f"looked at the {column} in {days} days",
            f"{days}天内浏览该{chinese}",
            "advice and trial for those who did not buy",
        )
        for column, chinese in _CATALOGUE_WORDS.items()
        for days in VIEWED_WINDOWS
    ),
    *(
        TagPattern(
            favourite(column, "<value>"),
            "preference",
            f"the {column} with the largest spend in 180 days; of equals the first by name",
            f"180天消费最多的{chinese}",
            "the picture and first line of a message",
        )
        for column, chinese in _CATALOGUE_WORDS.items()
    ),
    *(
        TagPattern(
            of_member(column, "<value>"),
            "basic",
            f"`{column}` of `members`, in the source's words",
            chinese,
            "choice of words, offers and places",
        )
        for column, chinese in _MEMBER_WORDS.items()
    ),
)
"""Tags made from data; they are counted apart from the declared ones."""


def slug(value: str) -> str:
    """A value of the data as it stands in a tag's name: lower case, blanks as `_`."""
    return "_".join(value.lower().split())


def group_of(name: str) -> str | None:
    """The categorical tag that a value belongs to; None for a plain tag."""
    group, sign, _ = name.partition("=")
    return group if sign else None


def _check(declared: tuple[Tag, ...]) -> None:
    twice = [name for name, count in Counter(tag.name for tag in declared).items() if count > 1]
    if twice:
        raise ValueError(f"tags declared more than once under one name: {', '.join(twice)}")


_check(_DECLARED)
