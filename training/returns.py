"""Which sales were sent back in full, and since when that is known: nobody is to be told to buy again what they sent back."""

import numpy as np
from ibis import ir

from features.cleaning_tables import queried

NEVER = int(np.iinfo(np.int32).max)
"""The day on which a purchase is undone that is not."""

_UNDONE = """
    WITH known AS (
        SELECT member_id, item_id, kind, local_day, occurred_at, quantity, net_cents, order_id, line_no FROM {purchases}
        WHERE member_id IS NOT NULL AND item_id IS NOT NULL AND superseded_at IS NULL
    ),
    lines AS (
        SELECT *, bool_and(coalesce(quantity, 0) <> 0) OVER pair AS counted, bool_and(net_cents <> 0) OVER pair AS paid
        FROM known SEMI JOIN (SELECT member_id, item_id FROM known WHERE kind = 'return') USING (member_id, item_id)
        WINDOW pair AS (PARTITION BY member_id, item_id)
    ),
    changes AS (
        SELECT member_id, item_id, kind, local_day,
               row_number() OVER (
                   PARTITION BY member_id, item_id ORDER BY occurred_at, kind = 'return', order_id, line_no
               ) AS place,
               CASE kind WHEN 'return' THEN -1 ELSE 1 END
               * CASE WHEN counted THEN abs(quantity) WHEN paid THEN abs(net_cents) ELSE 1 END AS change
        FROM lines
    ),
    totals AS (
        SELECT *, sum(change) OVER (PARTITION BY member_id, item_id ORDER BY place) AS total FROM changes
    ),
    held AS (
        SELECT *, total - least(0, min(total) OVER (PARTITION BY member_id, item_id ORDER BY place)) AS held FROM totals
    ),
    sales AS (
        SELECT sale.member_id, sale.item_id, sale.local_day, min(back.local_day) AS undone
        FROM held AS sale LEFT JOIN held AS back
          ON back.member_id = sale.member_id AND back.item_id = sale.item_id AND back.kind = 'return'
          AND back.place > sale.place AND back.held <= sale.held - sale.change
        WHERE sale.kind = 'sale'
        GROUP BY sale.member_id, sale.item_id, sale.local_day, sale.place
    )
    SELECT member_id, item_id, local_day, CAST(max(undone) AS INTEGER) AS undone
    FROM sales GROUP BY member_id, item_id, local_day HAVING bool_and(undone IS NOT NULL)
"""
"""Lines of members and items with a return, in their order: `held` is what the member has after each, 0 at the least. A sale is
undone by the first later return that leaves no more than there was before it."""


def days_undone(purchases: ir.Table) -> ir.Table:
    """Days on which a member bought an item and from which nothing is left, with the local day when the last of it came back.

    A return takes back what was bought last. It is counted in pieces; in money where some line of the member and item has no
    pieces, and in lines where it has no money either. A return of more than was bought takes back what there is.

    Returns
    -------
    Columns member_id, item_id, local_day, undone; one row a member, item and day.
    """
    return queried(_UNDONE, purchases=purchases)
