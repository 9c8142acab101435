"""A mapping proposed from the files themselves: columns known by name in five languages and by the shape of their values.

What it was unsure about ends in `# ?`. It is there to be read and changed, not to be trusted.
"""

import difflib
import json
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from features.errors import SourceError
from features.sources.draft_guess import FORMS, KEYS, SURE, Guess, guesses, plain
from features.sources.draft_words import PERSONAL, TRANSLATED, WORDS
from features.sources.fields import FIELDS
from features.sources.mapping import WHITESPACE
from features.sources.schema import EVENTS
from features.sources.sniffing import ColumnSample, FileSample, sample

CURRENCIES = {"€": "EUR", "$": "USD", "£": "GBP", "¥": "CNY", "￥": "CNY", "元": "CNY"}


def draft(paths: Sequence[Path], *, base: Path) -> str:
    """A mapping in TOML for some files of a shop.

    Parameters
    ----------
    base
        The folder in which the mapping will stand; files below it are written relative to it.

    Raises
    ------
    SourceError
        A file cannot be read, or none of them looks like purchases.
    """
    samples = [sample(path) for path in paths]
    by_table: dict[str, list[tuple[FileSample, Guess]]] = {}
    left: list[str] = []
    for found in samples:
        told = guesses(found)
        if not told:
            left.append(found.path.name)
        for guess in told:
            by_table.setdefault(guess.table, []).append((found, guess))
    if "purchases" not in by_table:
        raise SourceError(
            "none of these files looks like purchases: a moment, and an amount, an order, or a member and an item",
            remedy="; ".join([*map(_seen, samples), "docs/import.md shows how to write a mapping by hand"]),
        )
    by_table = {name: _own_files_first(files) for name, files in by_table.items()}
    lines = [*_head(paths, samples)]
    for name in WORDS:
        if name in by_table:
            lines += ["", *_table(name, by_table[name], base)]
    lines += [f"\n# ? {name} looks like no table of ours and was left out" for name in left]
    return "\n".join(lines) + "\n"


def _own_files_first(files: list[tuple[FileSample, Guess]]) -> list[tuple[FileSample, Guess]]:
    """The files of a table, without what another table's tell by the way where it has some of its own."""
    own = [(found, guess) for found, guess in files if not guess.by_the_way]
    return own or files


def _seen(found: FileSample) -> str:
    """What a file looks like, for a reader who has to go on by hand."""
    moments = [column.name for column in found.columns if column.dates]
    looks = f", {' and '.join(moments)} like a moment" if moments else ""
    if found.header:
        return f"{found.path.name} has {', '.join(column.name for column in found.columns)}{looks}"
    return f"{found.path.name} has {len(found.columns)} columns without names{looks}: name them with columns = [...]"


def _head(paths: Sequence[Path], samples: Sequence[FileSample]) -> Iterator[str]:
    signs = "".join(value for found in samples for column in found.columns for value in column.values[:20])
    currency = next((code for sign, code in CURRENCIES.items() if sign in signs), "")
    yield "# A draft: read it, change what is marked with # ?, then rapport import --mapping this-file"
    yield f"source = {_quoted(plain(paths[0].resolve().parent.name).replace(' ', '-') or 'shop')}"
    yield 'time_zone = "UTC"  # ? the zone of the shop, such as Europe/Berlin: days begin at its midnight'
    yield f"currency = {_quoted(currency)}  # ?"


def _table(name: str, files: Sequence[tuple[FileSample, Guess]], base: Path) -> Iterator[str]:
    found, guess = files[0]
    yield f"[{name}]"
    paths = [_relative(one.path, base) for one, _ in files]
    yield f"files = {_quoted(paths[0]) if len(paths) == 1 else '[' + ', '.join(map(_quoted, paths)) + ']'}"
    if found.encoding != "utf-8":
        yield f"encoding = {_quoted(found.encoding)}{'  # ?' if found.doubts else ''}"
    if found.delimiter != ",":
        yield f"delimiter = {_quoted({chr(9): 'tab', WHITESPACE: WHITESPACE}.get(found.delimiter, found.delimiter))}"
    if found.decimal != ".":
        yield f"decimal = {_quoted(found.decimal)}"
    if not found.header:
        yield f"columns = [{', '.join(_quoted(column.name) for column in found.columns)}]  # ? name them"
    for doubt in found.doubts:
        yield f"# ? {doubt}"
    for option, chosen in (("only", guess.only), ("without", guess.without)):
        for column, words in chosen.items():
            yield f"{option} = {{ {_key(column)} = [{', '.join(map(_quoted, words))}] }}  # ? which of its rows are {name}?"
    for field in FIELDS[name]:
        line = _field(name, field.name, guess)
        if line:
            yield line
    yield from _rest(found, guess)


def _field(table: str, field: str, guess: Guess) -> str:
    """One line of the mapping, or an empty text."""
    if table == "purchases" and field == "net" and "net" not in guess.fields and "price of one" in guess.fields:
        price = guess.fields["price of one"][0].name
        pieces = guess.fields["quantity"][0].name if "quantity" in guess.fields else ""
        product = f"{_name(pieces)} * {_name(price)}" if pieces else _name(price)
        return f"net = {{ expression = {_quoted(product)} }}  # ? is this what was paid, after discounts?"
    if field not in guess.fields:
        return ""
    column, score = guess.fields[field]
    options, doubts = _reading(table, field, column, guess)
    if score < SURE:
        doubts.insert(0, f"is {column.name} this?")
    written = _quoted(column.name) if not options else "{ " + ", ".join([*_source(options, column), *options]) + " }"
    return f"{field} = {written}" + (f"  # ? {' '.join(doubts)}" if doubts else "")


def _source(options: Sequence[str], column: ColumnSample) -> list[str]:
    return [] if options[0].startswith("expression") else [f"column = {_quoted(column.name)}"]


def _reading(table: str, field: str, column: ColumnSample, guess: Guess) -> tuple[list[str], list[str]]:
    """Options that say how to read a column, and what is to be looked at."""
    form = FORMS[table][field]
    if form in {"moment", "day", "month"} and column.dates and column.dates[0]:
        first, *others = column.dates
        doubts = [f"or {other}?" for other in others[:1]]
        if "time of day" in guess.fields and field == "occurred_at":
            clock = guess.fields["time of day"][0]
            seconds = ":%S" if all(value.count(":") == 2 for value in clock.values) else ""
            return [
                f"expression = {_quoted(_together(column, clock))}",
                f"format = {_quoted(f'{first} %H:%M{seconds}')}",
            ], doubts
        return [f"format = {_quoted(first)}"], doubts
    if form == "moment" and column.dates == ("",) and column.type == "text" and "time of day" in guess.fields:
        clock = guess.fields["time of day"][0]
        return [f"expression = {_quoted(_together(column, clock))}"], []
    if field in KEYS and column.fractional and column.type == "text":
        return ['format = "whole"'], []
    if form == "boolean" and column.type != "boolean":
        return _yes_and_no(column)
    if field in {"channel", "event_type"}:
        return _known_words(field, column, {word for words in guess.without.values() for word in words})
    return [], []


def _together(day: ColumnSample, clock: ColumnSample) -> str:
    return f"{_name(day.name)} || ' ' || {_name(clock.name)}"


def _yes_and_no(column: ColumnSample) -> tuple[list[str], list[str]]:
    words = sorted(set(column.values))
    known = {"0", "1", "true", "false", "yes", "no", "y", "n", "t", "f", "ja", "nein", "oui", "non", "si", "sí", "是", "否"}
    if {word.lower() for word in words} <= known:
        return [], []
    pairs = ", ".join(f"{_quoted(word)} = {_quoted('true' if place else 'false')}" for place, word in enumerate(words))
    return [f"values = {{ {pairs} }}"], ["which one is yes?"]


def _known_words(field: str, column: ColumnSample, left_out: Collection[str]) -> tuple[list[str], list[str]]:
    """The words of a closed list that stand in a column under other names."""
    known = next(schema.allowed for schema in EVENTS.columns if schema.name == field)
    words = sorted({value for value in column.values if value.lower() not in known and value not in left_out})
    if not words or len(words) > 12:
        return [], [f"its words are to become {', '.join(known)}"] if words else []
    pairs = [f"{_quoted(word)} = {_quoted(_nearest(word, known))}" for word in words]
    return [f"values = {{ {', '.join(pairs)} }}"], ["is each word in its place?"]


def _nearest(word: str, known: Sequence[str]) -> str:
    bare = plain(word).replace(" ", "_")
    inside = [name for name in known if name in bare or bare in name]
    near = inside or difflib.get_close_matches(bare, known, n=1, cutoff=0.6) or [TRANSLATED.get(bare, "other")]
    return near[0]


def _rest(found: FileSample, guess: Guess) -> Iterator[str]:
    """What was left: personal data by their kind, other columns by name."""
    used = {column.name for column, _ in guess.fields.values()}
    rest = [column.name for column in found.columns if column.name not in used]
    personal = [name for name in rest if plain(name) in PERSONAL.split(", ")]
    other = [name for name in rest if name not in personal]
    if personal:
        yield f"# left out, as personal data: {', '.join(personal)}"
    if other:
        yield f"# not used: {', '.join(other)}"


def _key(column: str) -> str:
    """A column as a key in TOML."""
    return column if re.fullmatch(r"[A-Za-z0-9_-]+", column) else _quoted(column)


def _name(column: str) -> str:
    """A column in an expression."""
    return column if re.fullmatch(r"[A-Za-z_]\w*", column) else '"' + column.replace('"', '""') + '"'


def _relative(path: Path, base: Path) -> str:
    whole = path.resolve()
    return whole.relative_to(base).as_posix() if whole.is_relative_to(base) else str(whole)


def _quoted(value: str) -> str:
    """A text in TOML, whose basic strings escape as JSON's do."""
    return json.dumps(value, ensure_ascii=False)
