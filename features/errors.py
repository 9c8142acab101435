"""Every error Rapport raises on purpose, as one tree. Each names its HTTP status, its exit code and a remedy.

RapportError
├── ConfigurationError      a setting is missing or wrong
│   ├── RulesRefused        a rules file says something that rules cannot say
│   └── TriggersRefused     a file of triggers says something that triggers cannot say
├── AudienceUnreadable      an audience expression breaks the grammar or names what does not exist
├── MissingDependency       an optional package is not installed
├── SourceError             the raw tables cannot become facts
│   ├── SchemaMismatch      a table lacks, renames or retypes a column
│   └── TooMuchQuarantined  more rows are wrong than the shop allows
├── FactsMissing            nothing was imported yet
├── FactsReplaced           other facts were put in place while a job read them
├── NotEnoughData           a model's requirement is not met by the facts
├── EvidenceRefused         a model's answers fail a sanity check, so no figure on them means anything
├── ContractMismatch        two sides were made from different feature declarations
├── CorruptRecord           stored bytes are not a record of ours
├── StoreUnavailable        Redis does not answer
├── NothingPublished        Redis answers but holds no published features
├── BundleRefused           a model's files fail a check
├── ModelMissing            no model stands under that name and alias
├── RegistryUnavailable     the registry's database is locked or cannot be read
├── PromotionRefused        the gate keeps the champion
├── ChampionMoved           somebody else moved the alias first
├── DiskFull                there is no room, or no more is allowed, for what has to be written
└── Busy                    another run holds the lock
"""

from collections.abc import Sequence
from typing import ClassVar


class RapportError(Exception):
    """Root of the tree. `remedy` says what the reader can do next; `exit_code` is the command line's answer."""

    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "internal"

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class ConfigurationError(RapportError):
    """A setting is missing or has a value that cannot be used."""

    exit_code = 2
    code = "configuration"


class RulesRefused(ConfigurationError):
    """A rules file cannot be read, or says something that rules cannot say. `problems` are all of them, one a line."""

    code = "rules_refused"

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        super().__init__("\n  ".join([f"{source} cannot be used:", *problems]), remedy="docs/rules.md lists every key")
        self.problems = tuple(problems)


class TriggersRefused(ConfigurationError):
    """A file of triggers cannot be read, or says something that triggers cannot say. `problems` are all of them."""

    code = "triggers_refused"

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        super().__init__("\n  ".join([f"{source} cannot be used:", *problems]), remedy="docs/triggers.md lists every key")
        self.problems = tuple(problems)


class AudienceUnreadable(RapportError):
    """An audience expression breaks the grammar, or names a tag or feature that does not exist. Shows where."""

    http_status = 422
    exit_code = 2
    code = "audience_unreadable"


class MissingDependency(RapportError):
    """A command needs a package that this installation left out."""

    exit_code = 2
    code = "missing_dependency"


class SourceError(RapportError):
    """The raw tables cannot be turned into facts."""

    exit_code = 3
    code = "source"


class SchemaMismatch(SourceError):
    """A table at the door does not have the columns and types of its schema."""

    code = "schema_mismatch"


class TooMuchQuarantined(SourceError):
    """The cleaning set aside a larger share of the rows than the policy allows; nothing is published."""

    code = "too_much_quarantined"


class FactsMissing(RapportError):
    """There are no facts in the data folder."""

    exit_code = 3
    code = "facts_missing"


class FactsReplaced(RapportError):
    """The facts folder holds other facts than those a job began with; its result was not kept."""

    exit_code = 75
    code = "facts_replaced"


class NotEnoughData(RapportError):
    """The facts do not meet a requirement of the model; the message names the requirement and the evidence."""

    exit_code = 20
    code = "not_enough_data"


class EvidenceRefused(RapportError):
    """A model's answers on the test windows fail a sanity check: NaN, constant, inverted, not matured, and so on."""

    code = "evidence_refused"


class ContractMismatch(RapportError):
    """Stored values or a model were made from other feature declarations than the ones in this process."""

    http_status = 503
    code = "contract_mismatch"


class CorruptRecord(RapportError):
    """Bytes from the store are not a record written by the codec."""

    http_status = 503
    code = "corrupt_record"


class StoreUnavailable(RapportError):
    """Redis refuses connections, does not answer in time, or is still loading."""

    http_status = 503
    code = "store_unavailable"


class NothingPublished(RapportError):
    """Redis answers, but no features were published to it."""

    http_status = 503
    code = "nothing_published"


class BundleRefused(RapportError):
    """A file of a model's bundle is missing, altered, or does not reproduce its golden rows."""

    http_status = 503
    code = "bundle_refused"


class ModelMissing(RapportError):
    """The registry holds no model under the name and alias asked for."""

    http_status = 503
    exit_code = 4
    code = "model_missing"


class RegistryUnavailable(RapportError):
    """The registry's database is locked by another program for too long, or is not a database of MLflow's."""

    http_status = 503
    exit_code = 75
    code = "registry_unavailable"


class PromotionRefused(RapportError):
    """The gate refuses a version; the champion stays."""

    http_status = 409
    exit_code = 10
    code = "promotion_refused"


class ChampionMoved(RapportError):
    """The champion is not the one that a promotion was decided against: somebody else was faster."""

    http_status = 409
    exit_code = 75
    code = "champion_moved"


class DiskFull(RapportError):
    """A job could not write what it had to; what it would have replaced is as it was."""

    exit_code = 74
    code = "disk_full"


class Busy(RapportError):
    """Another run holds the lock on the same data folder."""

    exit_code = 75
    code = "busy"
