"""A server of scores and lists until Ctrl-C, and where a person finds its pages."""

import secrets
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime

from commands.models import mlflow_command
from features.jobs import store_url
from features.online_store import RedisStore
from features.screen import Screen
from features.settings import Settings
from serving.launch import Server, running_server


def serve(settings: Settings, screen: Screen) -> int:
    """Serve until Ctrl-C; returns the server's exit code."""
    made = () if settings.api_keys else (secrets.token_urlsafe(24),)
    settings = replace(settings, api_keys=settings.api_keys or made)
    with ExitStack() as stack:
        url = stack.enter_context(store_url(settings))
        configured = replace(settings, redis_url=url)
        server = stack.enter_context(running_server(configured, log=settings.data_dir / "serve.log"))
        if made:
            screen.say(f"RAPPORT_API_KEYS is not set. Made a key for this run: [bold]{made[0]}[/bold]")
        say_addresses(settings, screen, server)
        say_age(settings, screen, url)
        return max(0, server.wait())


def say_addresses(settings: Settings, screen: Screen, server: Server) -> None:
    """Where to look."""
    screen.say(f"API page      {server.address}/docs   (any user name; the API key is the password)")
    screen.say(f"MLflow's page {mlflow_command(settings)}   then http://127.0.0.1:5000")
    screen.say(f"Log           {server.log}")
    screen.say("Ctrl-C stops the server.")


def say_age(settings: Settings, screen: Screen, url: str) -> None:
    """Say where nothing is published, or what is has become too old to be answered as fresh."""
    store = RedisStore(url, prefix=settings.key_prefix)
    store.check_server()
    stamp = store.read_stamp()
    if stamp is None:
        screen.say('Nothing is published yet: run "rapport publish --as-of …"; until then /v1/score answers 503.')
        return
    age_h = ((settings.now or datetime.now(UTC)) - stamp.as_of_moment).total_seconds() / 3600
    if age_h > settings.max_staleness_h:
        screen.say(
            f"Features are as of {stamp.as_of}, {age_h / 24:,.0f} days ago: rows will be answered as STALE. "
            f"To replay that moment: rapport serve --now {stamp.as_of}"
        )
