"""Values in DuckDB's SQL, by the form in which a field is read: numbers, amounts, moments, days, months, yes and no.

Each function takes the SQL of what was found and its DuckDB type, and gives SQL that is NULL where it cannot be read.
"""

from features.sources.fields import Field
from features.sources.mapping import FieldRule
from features.sql_text import text

TRUE_WORDS = ("1", "true", "t", "yes", "y", "ja", "j", "oui", "o", "si", "sí", "s", "是", "有")
FALSE_WORDS = ("0", "false", "f", "no", "n", "nein", "non", "否", "无")
FLOATS = ("FLOAT", "DOUBLE")
UTC_ZONES = ("UTC", "Etc/UTC", "GMT", "Z")
WIDE = "DECIMAL(38, 6)"
NARROW = 10**10
"""Amounts below this fit into 64 bits, in cents and with six decimals."""
WIDEST = 10**15
"""Amounts from this on are unreadable: no shop takes them, and they do not fit."""
EXACT = 2**53
"""From here on a floating-point number no longer holds every whole number: an identifier kept as one has lost digits."""
ISO = r"^\d{4}[-/]\d{1,2}[-/]\d{1,2}([ T]+\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?)?$"
ISO_WITH_ZONE = r"^\d{4}[-/]\d{1,2}[-/]\d{1,2}[ T]+\d{1,2}:\d{2}(:\d{2}(\.\d+)?)? *([Zz]|UTC|GMT|[+-]\d{2}(:?\d{2})?)$"
NOISE = r"^[\p{L}]{1,4}\.? *|^\p{Sc} *| *\p{Sc}$| *[\p{L}]{1,4}\.?$|[\s\x{00A0}\x{202F}'\x{2019}_]|\p{Sc}"
"""Around and within an amount: a currency's letters or sign, blanks and apostrophes between thousands."""


def value_sql(field: Field, rule: FieldRule, name: str, kind: str, *, decimal: str, zone: str) -> str:
    """What a found value of a DuckDB type reads as, in the form of a field."""
    match field.form:
        case "text":
            return whole_or_as_is(name) if kind in FLOATS else name
        case "boolean":
            return _boolean(name, kind)
        case "moment":
            return _utc(name, kind, rule, zone)
        case "day":
            return local_day_sql(f"({_utc(name, kind, rule, zone)})", zone)
        case "month":
            return _month(name, kind, rule, decimal)
        case "money":
            return _cents(decimal_sql(name, kind, decimal), 100 if rule.unit == "units" else 1)
        case "rounded":
            return f"TRY_CAST(round({decimal_sql(name, kind, decimal)}, 0) AS INTEGER)"
    whole = decimal_sql(name, kind, decimal)
    return f"CASE WHEN {whole} = round({whole}, 0) THEN TRY_CAST({whole} AS INTEGER) END"


def _boolean(name: str, kind: str) -> str:
    if kind == "BOOLEAN":
        return name
    if is_number(kind):
        return f"CASE WHEN {name} IN (0, 1) THEN {name} = 1 END"
    true, false = (", ".join(text(word) for word in words) for words in (TRUE_WORDS, FALSE_WORDS))
    return f"CASE WHEN lower({name}) IN ({true}) THEN true WHEN lower({name}) IN ({false}) THEN false END"


def _cents(number: str, scale: int) -> str:
    """Whole cents, half to even; in 64 bits where they suffice, which is ten times faster than in 128."""
    narrow = f"round_even(CAST({number} AS DECIMAL(18, 6)) * {scale}, 0)"
    return f"TRY_CAST(CASE WHEN abs({number}) < {NARROW} THEN {narrow} ELSE round_even({number} * {scale}, 0) END AS BIGINT)"


def decimal_sql(name: str, kind: str, decimal: str) -> str:
    """A number with six decimals, or NULL."""
    if is_number(kind):
        return f"CASE WHEN abs({name}) < {WIDEST} THEN TRY_CAST({name} AS {WIDE}) END"
    number = f"TRY_CAST({plain_number(name, decimal)} AS {WIDE})"
    plain = f"CASE WHEN regexp_full_match({name}, '-?[0-9]{{1,15}}{'([.][0-9]+)?' if decimal == '.' else ''}') "
    return f"{plain} THEN CAST({name} AS {WIDE}) ELSE CASE WHEN abs({number}) < {WIDEST} THEN {number} END END"


def plain_number(name: str, decimal: str) -> str:
    """A number in text with a point and nothing else: currencies and thousands out, 12- and (12) below zero.

    What is no number by the mapping's decimal sign is NULL: `1,5` under a decimal point is not taken for 15.
    """
    point, thousands = (r"\.", ",") if decimal == "." else (",", r"\.")
    pattern = rf"[+-]?(\d+|\d{{1,3}}({thousands}\d{{2,3}})*{thousands}\d{{3}})?({point}\d*)?([eE][+-]?\d+)?"
    bare = f"regexp_replace(regexp_replace({name}, {text(NOISE)}, '', 'g'), {text(NOISE)}, '', 'g')"
    signed = f"regexp_replace({bare}, '^\\((.*)\\)$|^([^-].*)-$', '-\\1\\2')"
    matched = f"CASE WHEN regexp_full_match({signed}, {text(pattern)}) THEN {signed} END"
    return f"replace(replace({matched}, '.', ''), ',', '.')" if decimal == "," else f"replace({matched}, ',', '')"


def _month(name: str, kind: str, rule: FieldRule, decimal: str) -> str:
    """A month of birth from its number or from a whole date."""
    if is_moment(kind):
        return f"month({name})"
    number = f"CAST({decimal_sql(name, kind, decimal)} AS BIGINT)" if not rule.format else "NULL"
    of_number = f"CASE WHEN {number} BETWEEN 1 AND 12 THEN {number} END"
    return of_number if is_number(kind) else f"coalesce({of_number}, month({_utc(name, kind, rule, 'UTC')}))"


def _utc(name: str, kind: str, rule: FieldRule, shop_zone: str) -> str:
    """A moment in UTC; NULL where there is none between the years 1 and 9999."""
    zone = rule.zone or shop_zone
    if is_moment(kind) and ("TZ" in kind or "TIME ZONE" in kind):
        tries = [f"CAST({name} AS TIMESTAMPTZ) AT TIME ZONE 'UTC'"]
    elif is_moment(kind):
        tries = [_from_zone(f"CAST({name} AS TIMESTAMP)", zone)]
    elif rule.format:
        tries = [_by_pattern(name, pattern, zone) for pattern in rule.format]
    else:
        own = f"CASE WHEN regexp_matches({name}, {text(ISO_WITH_ZONE)}) THEN TRY_CAST({name} AS TIMESTAMPTZ) END"
        naive = f"CASE WHEN regexp_matches({name}, {text(ISO)}) THEN TRY_CAST({name} AS TIMESTAMP) END"
        tries = [_from_zone(naive, zone), f"({own}) AT TIME ZONE 'UTC'"]
    found = f"coalesce({', '.join(tries)})"
    return f"CASE WHEN {found} BETWEEN TIMESTAMP '0001-01-02' AND TIMESTAMP '9999-12-30 23:59:59' THEN {found} END"


def _by_pattern(name: str, pattern: str, zone: str) -> str:
    number = f"TRY_CAST({name} AS DOUBLE)"
    seconds = {"excel": f"round(({number} - 25569) * 86400)", "unix": number, "unix_ms": f"{number} / 1000"}.get(pattern)
    if seconds is not None:
        inside = f"CASE WHEN abs({seconds}) < 1e12 THEN CAST(round({seconds} * 1e6) AS BIGINT) END"
        moment = f"TIMESTAMP '1970-01-01' + to_microseconds({inside})"
        return _from_zone(moment, zone) if pattern == "excel" else moment
    if "%z" in pattern or "%Z" in pattern:
        return f"try_strptime({name}, {text(pattern)}) AT TIME ZONE 'UTC'"
    return _from_zone(f"try_strptime({name}, {text(pattern)})", zone)


def _from_zone(naive: str, zone: str) -> str:
    return naive if zone in UTC_ZONES else f"timezone({text(zone)}, {naive}) AT TIME ZONE 'UTC'"


def is_text(kind: str) -> bool:
    """Whether a DuckDB type is one whose values are read as text."""
    return not (is_number(kind) or is_moment(kind) or kind == "BOOLEAN")


def is_number(kind: str) -> bool:
    """Whether a DuckDB type is one of numbers."""
    return kind.endswith("INT") or kind in {"INTEGER", "UINTEGER", "FLOAT", "DOUBLE"} or kind.startswith("DECIMAL")


def is_moment(kind: str) -> bool:
    """Whether a DuckDB type is a date or a timestamp."""
    return kind == "DATE" or kind.startswith("TIMESTAMP")


def local_day_sql(moment: str, zone: str) -> str:
    """Days since 1970-01-01, in the shop's zone, of a UTC moment."""
    return f"CAST(date_diff('day', DATE '1970-01-01', CAST({local_sql(moment, zone)} AS DATE)) AS INTEGER)"


def local_sql(moment: str, zone: str) -> str:
    """A UTC moment in the shop's zone."""
    return moment if zone in UTC_ZONES else f"timezone({text(zone)}, timezone('UTC', {moment}))"


def whole_or_as_is(name: str) -> str:
    """A floating-point number as text: a whole one without its `.0`, and NULL where it can have lost digits."""
    whole = f"CASE WHEN abs({name}) < {EXACT} THEN CAST(CAST({name} AS BIGINT) AS VARCHAR) END"
    return f"CASE WHEN {name} = trunc({name}) THEN {whole} ELSE CAST({name} AS VARCHAR) END"
