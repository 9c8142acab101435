"""Words of the OpenAPI document that no schema has: fields that explain themselves to us, who may ask, headers of answers."""

from typing import Any, get_args

from serving.event_schemas import ROW_MEANING
from serving.keys import Caller, Role

FIELDS = {
    "member_id": "the member",
    "item_id": "the item, as the shop names it",
    "status": "how this answer stands; the table above has the meanings",
    "reason": "why, where the status alone does not say; the table above has the meanings",
    "fallback": "step of the ladder that the answer came from; the table above has the meanings",
    "passport": "what it takes to reproduce the answer",
    "rows": "one for each member or event, in the order asked for",
    "items": "best first",
    "rules": "the rules that were obeyed",
    "list_model": "version that made the member's own list; null where there is none",
    "as_of": "moment up to which purchases were known, ISO 8601 UTC",
    "age_seconds": "its age at `moment`, in seconds",
    "live": "whether it was made anew from what the member did since `as_of`",
    "things": "what to say, best first",
    "removed": "with dry_run: candidates taken away, in order",
    "run": "number of the run",
    "meaning": "the rule in words; they may change",
    "direction": "whether it makes the score higher or lower",
    "churn": "the risk of leaving; null if not asked for or not answered",
    "tier": "the spending tier to come; null if not asked for or not answered",
    "value": "the spend to come; null if not asked for or not answered",
    "segment": "the customer group; null if not asked for or not answered",
    "name": "its name",
    "version": "number in the registry",
    "kind": "what it answers: churn, bgnbd, tier, value, segments or recommender",
    "bytes": "size in bytes",
    "job_id": "id of the job",
    "progress": "how far it has come",
    "files": "what it left; empty until it is done",
    "failure": "why it failed or was cancelled; null if it did not",
    "jobs": "the newest first, at most 200",
    "members": "whom to answer for",
    "models": "by name and version",
    "profile": "what was bought, in a few words",
    "consent": "what the member said about marketing",
    "receipt": "stands for the erasure in files and audits; the same for every request for the same member",
    "online": "what was done at once",
    "schema_version": "1",
    "type": "kind of event",
    "event_id": "the producer's own: no two events of a member have the same, and an event keeps it however often it is sent",
    "occurred_at": "when it happened, ISO 8601 with a zone",
    "visitor_id": "who, where the member is not known; hashed at once and kept nowhere. Give `member_id`, `visitor_id` or both",
    "visitor_kind": "what `visitor_id` is",
    "channel": "where it happened",
    "store_id": "in which store",
    "session_id": "the visit it belongs to",
    "duration_s": "how long it took, in seconds",
    "currency": "ISO 4217 code; left out: the shop's own. Others are refused",
    "lines": "all lines of the order",
    "of_order_id": "order id of the purchase that the goods are from",
    "coupon_id": "the coupon",
    "campaign_id": "the campaign that the coupon is from",
    "net_cents": "what was paid for the line, in hundredths of the currency; of a return what was paid back",
    "quantity": "pieces",
    "discount_cents": "taken off by the shop, in hundredths of the currency",
    "coupon_cents": "taken off by coupons, in hundredths of the currency",
    "title": "the status in words",
    "code": "what to act on: stable; the table above has all of them",
    "detail": "what is wrong, in words that may change",
    "instance": "ends with the id of the request, which is in the log",
    "errors": "where and what: `pointer` (RFC 6901) and `problem`; never a value that was sent",
    "SentReturn.order_id": "the return's own id",
    "SentPurchase.order_id": "the order's id; an order is sent whole, in one event",
    "Problem.type": "urn:rapport:problem: and the code",
    "Problem.status": "the HTTP status once more",
    "Segment.name": "one of `groups` in the definition of the model that the passport has",
    "Value.cents": "expected spend, in hundredths of the currency",
    "Value.high_cents": "upper end of its interval",
    "EventRow.status": "; ".join(f"`{status}`: {meaning}" for status, meaning in ROW_MEANING.items()),
    "EventRow.reason": "why it was set aside or dropped",
    "JobFile.name": "as it is asked for in the path",
    "JobFile.rows": "rows in it, without the heading",
    "JobView.status": "waiting; running; done: `files` are there; failed or cancelled: `failure` says why",
    "Thing.item": "what to offer, with the sentence to be said in its reason",
    "Item.reason": "why it is offered",
}  # fmt: skip
"""What a field means: by its name, or by schema and name where that differs."""
TAGS = {
    "/v1/events": "events",
    "/v1/members": "members",
    "/v1/audience": "members",
    "/v1/jobs": "bulk jobs",
    "/v1/models": "models",
    "/health": "health",
    "/v1": "scores and lists",
}
"""Under which heading an operation stands, by how its path begins."""
_HEADERS = {
    "X-Request-Id": {
        "description": "id of this answer; in the log, and `decision_id` of a passport",
        "schema": {"type": "string"},
    },
    "Retry-After": {"description": "seconds after which to try again", "schema": {"type": "integer", "minimum": 1}},
}
_TRY_AGAIN = {"429", "503"}


def explain_fields(schemas: dict[str, Any]) -> None:
    """Say what each field means that does not say so itself."""
    for name, schema in schemas.items():
        for field, found in schema.get("properties", {}).items():
            meaning = FIELDS.get(f"{name}.{field}", FIELDS.get(field))
            if meaning is not None:
                found.setdefault("description", meaning)


def complete_operations(paths: dict[str, Any]) -> None:
    """Say of each operation where it belongs, who may ask it, and which headers its answers have."""
    for path, item in paths.items():
        for method, operation in item.items():
            if operation.get("security") != []:
                operation["description"] = f"Roles: {', '.join(roles_of(method.upper(), path))}."
            operation["tags"] = [next(tag for start, tag in TAGS.items() if path.startswith(start))]
            for status, response in operation["responses"].items():
                wanted = ["X-Request-Id", *(["Retry-After"] if status in _TRY_AGAIN and path.startswith("/v1") else [])]
                response["headers"] = {header: _HEADERS[header] for header in wanted}


def roles_of(method: str, path: str) -> list[Role]:
    """Roles whose keys may ask this."""
    return [role for role in get_args(Role) if Caller("", role, b"").may(method, path)]
