"""Basic tags (基础属性): birthday, consent, how long someone has been registered, what is not known about them yet."""

from features.declarations import DAY
from features.expressions import missing
from features.sources.schema import MEMBERS
from features.tag_families.declaring import MONTH, REST, Level, Tag, by_level, feature

MONTHS = (
    ("January", 1),
    ("February", 2),
    ("March", 3),
    ("April", 4),
    ("May", 5),
    ("June", 6),
    ("July", 7),
    ("August", 8),
    ("September", 9),
    ("October", 10),
    ("November", 11),
    ("December", 12),
)
REGISTERED_DAYS = DAY - MEMBERS.registered_day
YEAR = 365
NEVER_BOUGHT = missing(feature("days_since_last_purchase"))

BIRTH_MONTHS = [
    Tag(
        f"birth_month={number}",
        "basic",
        MEMBERS.birth_month.equals(number),
        f"born in {name}",
        f"{number}月生日",
        "plan birthday greetings a month ahead",
    )
    for name, number in MONTHS
]
BIRTHDAYS = [
    Tag(
        "birthday_this_month",
        "basic",
        MEMBERS.birth_month.equals(MONTH),
        "has a birthday in the month of T",
        "本月生日",
        "birthday gift, double points",
    ),
    Tag(
        "birthday_next_month",
        "basic",
        MEMBERS.birth_month.equals(MONTH % 12 + 1),
        "has a birthday in the month after T",
        "下月生日",
        "send the birthday coupon in time",
    ),
    Tag(
        "birth_month_unknown",
        "basic",
        missing(MEMBERS.birth_month),
        "the month of birth is not known",
        "生日未知",
        "ask for it, against points",
    ),
]
CONSENT = [
    Tag(
        "consent=yes",
        "basic",
        MEMBERS.marketing_consent.equals(1),
        "agreed to marketing",
        "同意营销",
        "may be addressed",
    ),
    Tag(
        "consent=no",
        "basic",
        MEMBERS.marketing_consent.equals(0),
        "refused marketing",
        "拒绝营销",
        "is left out of every audience by default",
    ),
    Tag(
        "consent=unknown",
        "basic",
        missing(MEMBERS.marketing_consent),
        "the source does not say whether they agreed to marketing",
        "营销意愿未知",
        "ask for consent at the next visit",
    ),
]
MEMBERSHIP = by_level(
    "membership",
    "basic",
    REGISTERED_DAYS,
    [
        Level("first_week", 8, "registered in the last 7 days", "注册7天内", "welcome gift"),
        Level("first_month", 31, "registered 8 to 30 days ago", "注册8至30天", "invite to the second order"),
        Level("first_quarter", 91, "registered 31 to 90 days ago", "注册31至90天", "introduce further departments"),
        Level("first_year", YEAR + 1, "registered 91 to 365 days ago", "注册91天至1年", "build a habit"),
        Level("second_year", 2 * YEAR + 1, "registered one to two years ago", "注册1至2年", "thank for the first year"),
        Level("up_to_five_years", 5 * YEAR + 1, "registered two to five years ago", "注册2至5年", "rights by tier"),
        Level("over_five_years", REST, "registered over five years ago", "注册5年以上", "long-standing members' day"),
    ],
)
REGISTRATION = [
    Tag(
        "registered_not_bought_7d",
        "basic",
        (REGISTERED_DAYS <= 7) & NEVER_BOUGHT,
        "registered in the last 7 days and has not bought yet",
        "注册7天内未购买",
        "first-order discount",
    ),
    Tag(
        "registered_not_bought_30d",
        "basic",
        (REGISTERED_DAYS > 7) & (REGISTERED_DAYS <= 30) & NEVER_BOUGHT,
        "registered 8 to 30 days ago and has not bought yet",
        "注册8至30天未购买",
        "remind of the first-order discount",
    ),
    Tag(
        "registered_never_bought",
        "basic",
        (REGISTERED_DAYS > 30) & NEVER_BOUGHT,
        "registered over 30 days ago and has never bought",
        "注册超过30天从未购买",
        "one last offer, then clean up",
    ),
    Tag(
        "anniversary_7d",
        "basic",
        (REGISTERED_DAYS >= YEAR) & (REGISTERED_DAYS % YEAR < 7),
        "the day of registration came round in the last 7 days",
        "入会周年（7天内）",
        "anniversary points",
    ),
    Tag(
        "registration_unknown",
        "basic",
        missing(MEMBERS.registered_day),
        "the day of registration is not known",
        "注册日期未知",
        "complete the profile",
    ),
]
TAGS = (*BIRTH_MONTHS, *BIRTHDAYS, *CONSENT, *MEMBERSHIP, *REGISTRATION)
