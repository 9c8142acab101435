"""The same answers by an ordinary developer's server, and the floor of the stack: what `serving.py` measures us beside.

uvicorn --factory benchmarks.serving_peers:fastapi_arrays   and so on; the environment says where Redis and the model are.

* fastapi_arrays: FastAPI with pydantic models, HGETALL of a member's features, XGBoost's scikit-learn API on an array
* fastapi_frame: the same with a pandas DataFrame, as most tutorials have it
* echo: an ASGI app that reads the body and answers it back, which no server on this stack can be faster than
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]


def echo() -> Callable[..., Awaitable[None]]:
    """The floor."""

    async def app(
        scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        if scope["type"] != "http":
            return
        message = await receive()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(message["body"]))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": message["body"]})

    return app


def fastapi_arrays() -> Any:
    """FastAPI, Hashes, scikit-learn's API on arrays."""
    return _fastapi(frame=False)


def fastapi_frame() -> Any:
    """FastAPI, Hashes, scikit-learn's API on a DataFrame."""
    return _fastapi(frame=True)


def _fastapi(*, frame: bool) -> Any:
    import numpy as np
    import pandas as pd
    import redis.asyncio
    import xgboost
    from fastapi import FastAPI
    from pydantic import BaseModel

    client: Any = redis.asyncio.Redis.from_url(os.environ["PEER_REDIS"])
    model = xgboost.XGBClassifier(n_jobs=1)
    model.load_model(os.environ["PEER_MODEL"])
    names = os.environ["PEER_FEATURES"].split(",")
    keys = [name.encode() for name in names]

    class Request(BaseModel):
        member_ids: list[str]

    class Score(BaseModel):
        member_id: str
        probability: float
        band: str

    class Response(BaseModel):
        rows: list[Score]

    app = FastAPI()

    async def score(request: Request) -> Response:
        async with client.pipeline(transaction=False) as pipeline:
            for member in request.member_ids:
                pipeline.hgetall(f"peer:{member}")
            found = await pipeline.execute()
        values = [[float(row[key]) for key in keys] for row in found]
        matrix = pd.DataFrame(values, columns=names) if frame else np.array(values, dtype=np.float32)
        chances = model.predict_proba(matrix)[:, 1]
        bands = ["low" if chance < 0.3 else "medium" if chance < 0.6 else "high" for chance in chances]
        rows = zip(request.member_ids, chances.tolist(), bands, strict=True)
        return Response(rows=[Score(member_id=member, probability=chance, band=band) for member, chance, band in rows])

    async def recommend(request: Request) -> dict[str, Any]:
        rows = []
        for member in request.member_ids:
            items = await client.zrevrange(f"peer_list:{member}", 0, 19, withscores=True)
            rows.append({"member_id": member, "items": [{"item_id": i.decode(), "score": s} for i, s in items]})
        return {"rows": rows}

    score.__annotations__ = {"request": Request, "return": Response}
    recommend.__annotations__ = {"request": Request, "return": dict[str, Any]}
    app.post("/score", response_model=Response)(score)
    app.post("/recommend")(recommend)
    return app
