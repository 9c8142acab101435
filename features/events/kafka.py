"""From a Kafka topic into the streams: an offset is committed only once the streams have its events, so none is lost.

A message holds one event as POST /v1/events takes it, in JSON. What comes twice is accepted twice and has its effect once, as
the streams know event ids. What is wrong goes into the quarantine with the reason, as nobody waits for an answer.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from features.erasures import Receipts
from features.errors import ConfigurationError, MissingDependency, StoreUnavailable
from features.events.accepting import EventWriter, Outcome
from features.events.intake import EventRefused, EventSetAside, Intake, json_bytes
from features.events.schema import Event

logger = logging.getLogger("rapport")
MESSAGES_TOGETHER = 500
POLL_S = 1.0
PAUSE_S = 1.0
OURS = {"enable.auto.commit": False, "enable.auto.offset.store": False, "auto.offset.reset": "earliest"}
"""Settings of the consumer that are not the user's to change: offsets follow the streams."""


@dataclass(slots=True)
class Bridged:
    """What came of the messages so far."""

    messages: int = 0
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, what: str) -> None:
        """Count one message."""
        self.messages += 1
        self.counts[what] = self.counts.get(what, 0) + 1


class KafkaBridge:
    """One consumer of a topic. Any number of them share its partitions, by the group of the configuration.

    Parameters
    ----------
    config
        As librdkafka has it: `bootstrap.servers`, `security.protocol` and so on; `group.id` is `rapport` unless it says.
    pause
        Waits, when the store takes no more; told the seconds.
    backlog
        Events in the streams above which it waits.

    Raises
    ------
    MissingDependency
        confluent-kafka is not installed.
    ConfigurationError
        librdkafka refuses the configuration.
    """

    def __init__(
        self,
        topic: str,
        config: Mapping[str, Any],
        writer: EventWriter,
        intake: Intake,
        *,
        clock: Callable[[], datetime],
        receipts: Callable[[], Receipts],
        pause: Callable[[float], object],
        backlog: int,
    ) -> None:
        self._writer, self._intake, self._clock = writer, intake, clock
        self._receipts, self._pause, self._backlog = receipts, pause, backlog
        self._held: list[Any] = []
        self.bridged = Bridged()
        self._consumer = consumer_of(config)
        self._consumer.subscribe([topic])

    def run(self, told: Callable[[], bool]) -> Bridged:
        """Take messages until told to end; what was taken is in the streams and committed by then."""
        while not told():
            self.step()
        return self.bridged

    def step(self, *, wait_s: float = POLL_S) -> int:
        """Take what is there, at most some hundred messages, into the streams, and commit; returns how many.

        While the store takes nothing, the same messages are tried again: the topic keeps them, and those after them.
        """
        if not self._held:
            for message in self._consumer.consume(MESSAGES_TOGETHER, timeout=wait_s):
                if message.error() is not None:
                    self._told(message.error())
                else:
                    self._held.append(message)
        if not self._held:
            return 0
        if not self._taken(self._held):
            self._pause(PAUSE_S)
            return 0
        taken, self._held = self._held, []
        self._commit(taken)
        return len(taken)

    def close(self) -> None:
        """Leave the group, so that others take over at once."""
        self._consumer.close()

    def _taken(self, messages: Sequence[Any]) -> bool:
        """Whether the streams have the events of these messages, and the quarantine the rest."""
        before = Bridged(self.bridged.messages, dict(self.bridged.counts))
        try:
            self._require_room()
            events = [event for message in messages if (event := self._event(message)) is not None]
            for event, outcome in zip(events, self._writer.accept(events), strict=True):
                self._keep_conflict(event, outcome)
        except StoreUnavailable as error:
            logger.warning('{"kafka": "waiting", "why": "%s"}', error)
            self.bridged = before
            return False
        return True

    def _require_room(self) -> None:
        """Raise StoreUnavailable while the streams or the server are too full."""
        why = self._writer.pressure().why_full(self._backlog)
        if why:
            raise StoreUnavailable(why, remedy="let consumers and the archive catch up")

    def _event(self, message: Any) -> Event | None:
        """The event of a message; None for one that is set aside or dropped."""
        value = message.value() or b""
        try:
            event = self._intake.read_bytes(value, received_at=self._clock())
        except EventSetAside as error:
            self._writer.set_aside(error.reason, self._kept(message, error.content))
            self.bridged.add("quarantined")
            return None
        except EventRefused as error:
            self._writer.set_aside(str(error), self._kept(message, None))
            self.bridged.add("refused")
            return None
        if self._receipts().of(event.subject) is not None:
            self.bridged.add("dropped")
            return None
        return event

    def _keep_conflict(self, event: Event, outcome: Outcome) -> None:
        if outcome is Outcome.CONFLICT:
            self._writer.set_aside("conflict", event.to_bytes())
        self.bridged.add({Outcome.OPTED_OUT: "dropped"}.get(outcome, outcome.value))

    @staticmethod
    def _kept(message: Any, content: Mapping[str, Any] | None) -> bytes:
        """What the quarantine keeps: the place of the message, and what is known of it.

        A message that is wrong may hold anything, a phone number for one: the topic has it, and nobody else needs to.
        """
        place = {"topic": message.topic(), "partition": message.partition(), "offset": message.offset()}
        return json_bytes({"kafka": place, "content": content})

    def _commit(self, messages: Sequence[Any]) -> None:
        """Commit the offsets after these messages, and wait for the broker to have them."""
        from confluent_kafka import KafkaException, TopicPartition

        last: dict[tuple[str, int], int] = {}
        for message in messages:
            place = (message.topic(), message.partition())
            last[place] = max(last.get(place, 0), message.offset() + 1)
        try:
            self._consumer.commit(
                offsets=[TopicPartition(*place, offset) for place, offset in last.items()], asynchronous=False
            )
        except KafkaException as error:  # they come again, to whoever has the partition then, and do no harm
            logger.warning('{"kafka": "not_committed", "code": "%s"}', error.args[0].name())

    @staticmethod
    def _told(error: Any) -> None:
        logger.warning('{"kafka": "error", "code": "%s"}', error.name())


def consumer_of(config: Mapping[str, Any]) -> Any:
    """A consumer of librdkafka's with our own settings over the user's."""
    try:
        from confluent_kafka import Consumer, KafkaException
    except ModuleNotFoundError as error:
        raise MissingDependency("rapport kafka needs confluent-kafka", remedy="pip install 'rapport[kafka]'") from error
    try:
        return Consumer({"group.id": "rapport", **config, **OURS})
    except KafkaException as error:
        raise ConfigurationError(
            f"librdkafka refuses the configuration: {error.args[0].str()}", remedy="docs/events.md has an example"
        ) from error


def read_config(text: str) -> dict[str, Any]:
    """The configuration from JSON, as a file or a setting has it.

    Raises
    ------
    ConfigurationError
        It is no object of texts, numbers and switches, or lacks `bootstrap.servers`.
    """
    try:
        config = json.loads(text)
    except ValueError as error:
        raise ConfigurationError("the Kafka configuration is not JSON", remedy="docs/events.md has an example") from error
    if not isinstance(config, dict) or not all(isinstance(value, str | int | float | bool) for value in config.values()):
        raise ConfigurationError("the Kafka configuration is one JSON object", remedy="docs/events.md has an example")
    if "bootstrap.servers" not in config and "test.mock.num.brokers" not in config:
        raise ConfigurationError("the Kafka configuration lacks bootstrap.servers", remedy="docs/events.md has an example")
    return config
