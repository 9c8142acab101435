"""Rules files: what a good one means, and that a bad one is told key by key what to write instead."""

import re
import tomllib
from pathlib import Path

import pytest

from features.errors import RulesRefused
from features.rules.codes import MEANINGS
from features.rules.declared import DEFAULT, Band, Exploration, Named, Rules
from features.rules.reading import parse_rules, read_rules
from features.rules.words import in_words

WHOLE = """
describes = "What the till proposes"
[list]
pinned = ["856942"]
min_length = 2
[stock]
required = true
at_store = false
[price]
min_cents = 50
max_cents = 5000
unknown = "keep"
[margin]
min_share = 0.1
min_cents = 5
[category]
level = "department"
include = ["GROCERY", "DELI"]
exclude = ["PET"]
cap = 3
caps = {"DELI" = 1}
[brand]
exclude = ["Acme"]
cap = 2
[bought]
within_days = 7
unless_due = true
[withdrawn]
items = ["1", "2"]
[age]
restricted_categories = ["BEER"]
restricted_items = ["3"]
[consent]
opted_out = "empty"
[exploration]
share = 0.1
pool = 30
"""


def problems(text: str, name: str = "till") -> tuple[str, ...]:
    with pytest.raises(RulesRefused) as refused:
        parse_rules(name, text)
    return refused.value.problems


def test_every_key_is_read() -> None:
    assert parse_rules("till", WHOLE) == Rules(
        "till",
        describes="What the till proposes",
        pinned=("856942",),
        min_length=2,
        in_store=False,
        price=Band(50, 5000, "keep"),
        margin_share=Band(least=0.1),
        margin_cents=Band(least=5),
        level="department",
        category=Named(("GROCERY", "DELI"), ("PET",), 3, (("DELI", 1),)),
        brand=Named(exclude=("Acme",), cap=2),
        bought_within_days=7,
        withdrawn=("1", "2"),
        adult_categories=("BEER",),
        adult_items=("3",),
        opted_out="empty",
        exploration=Exploration(0.1, 30),
    )


def test_an_empty_file_says_what_is_in_force_without_one() -> None:
    read = parse_rules("default", "")
    assert in_words(read) == in_words(DEFAULT)
    assert read.exploration.share == 0, "nothing is left to chance unless somebody says so"


def test_the_words_say_every_rule() -> None:
    words = in_words(parse_rules("till", WHOLE))
    for part in ("856942", "fewer than 2", "from 50 to 5000 cents", "kept", "0.1 of the price", '"GROCERY" or "DELI"', '"PET"',
                 "At most 3 items of one department", "At most 1 of the department DELI", "At most 2 items of one brand",
                 "within 7 days, unless", '"BEER", "3"', "no list", "probability 0.1"):  # fmt: skip
        assert any(part in sentence for sentence in words), part
    assert len(set(words)) == len(words)
    assert "and 3 more" in in_words(Rules("r", withdrawn=tuple("abcdefgh")))[1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[price]\nmin_cents = -1", "price.min_cents = -1 cannot be: write a whole number from 0"),
        ("[price]\nmin_cents = 1.5", "price.min_cents = 1.5 cannot be"),
        ("[price]\nmin_cents = true", "price.min_cents = True cannot be"),
        ("[price]\nunknown = 'drop'", 'price.unknown = \'drop\' cannot be: write "remove" or "keep"'),
        ("[margin]\nmin_share = 15", "margin.min_share = 15 cannot be: write a number from -1 to 1"),
        ("[margin]\nmin_share = nan", "margin.min_share = nan cannot be"),
        ("[category]\ncap = 0", "category.cap = 0 cannot be: write a whole number from 1 to 50"),
        ("[category]\ncaps = {A = 0}", "category.caps = {'A': 0} cannot be: write names with whole numbers"),
        ("[category]\nlevel = 'aisle'", 'write "department" or "category" or "subcategory"'),
        ("[category]\ninclude = 'A'", "category.include = 'A' cannot be: write a list"),
        ("[category]\ninclude = ['A', 'A']", "different texts"),
        ("[category]\ninclude = ['A', ' ']", "category.include"),
        ("[bought]\nwithin_days = 0", "bought.within_days = 0 cannot be: write a whole number from 1"),
        ("[bought]\nunless_due = 1", "bought.unless_due = 1 cannot be: write true or false"),
        ("[exploration]\nshare = 0.9", "exploration.share = 0.9 cannot be: write a number from 0 to 0.5"),
        ("[list]\nmin_length = 51", "list.min_length = 51 cannot be"),
        ("[consent]\nopted_out = 'all'", 'write "generic" or "empty"'),
        ("[category]\nexlude = ['A']", "category.exlude is no rule: category there is level, include, exclude, cap, caps"),
        ("[catgory]\ncap = 1", "catgory is no rule: at the top there is describes, [list], [stock]"),
        ("price = 3", "price = 3 cannot be: write it as a section, [price]"),
        ("[price]\nmin_cents = 9\nmax_cents = 3", "price.min_cents = 9 is above price.max_cents = 3: exchange them"),
        ("[brand]\ninclude = ['A']\nexclude = ['A']", 'brand.include and brand.exclude both name "A"'),
        ("[brand]\nexclude = ['A']\ncaps = {A = 1}", 'brand.caps limits "A", which brand.exclude shows none of'),
        ("[list]\npinned = ['1']\n[withdrawn]\nitems = ['1']", 'list.pinned names "1", and withdrawn.items does, too'),
        ("[list\n", "this is no TOML"),
    ],
)
def test_what_cannot_be_is_told_with_key_value_and_remedy(text: str, said: str) -> None:
    assert any(said in problem for problem in problems(text)), problems(text)


def test_all_problems_are_told_at_once() -> None:
    assert len(problems("[price]\nmin_cents = -1\nmaximum = 3\n[brand]\ncap = 99")) == 3


def test_a_name_that_no_request_can_send_is_refused() -> None:
    assert "cannot be asked for" in problems("", name="Till 1")[0]


def test_files_that_cannot_be_read_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    for name in ("bad.toml", "absent.toml"):
        with pytest.raises(RulesRefused, match=name):
            read_rules(tmp_path / name)
    (tmp_path / "till.toml").write_text(WHOLE, encoding="utf-8")
    assert read_rules(tmp_path / "till.toml") == parse_rules("till", WHOLE)


PAGE = Path(__file__).parents[3] / "docs" / "rules.md"


def test_the_page_lists_every_code_and_key_and_its_example_can_be_used() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for code in MEANINGS.keys() - {"ALLOWED", "LIST_FULL", "NO_CANDIDATE", "ALREADY_IN_LIST"}:
        assert f"| `{code}` | {MEANINGS[code]} |" in page, code
    for section, values in tomllib.loads(WHOLE).items():
        for key in values if isinstance(values, dict) else ():
            assert f"`{section}.{key}`" in page or (section == "brand" and f"`{key}`" in page), f"{section}.{key}"
    example = re.search(r"```toml\n(.*?)```", page, re.DOTALL)
    assert example
    assert all(sentence in page for sentence in in_words(parse_rules("checkout", example.group(1))))
