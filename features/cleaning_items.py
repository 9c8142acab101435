"""What purchases call an item, and what the catalogue knows under that name or one that differs in capitals only."""

from ibis import ir

from features.cleaning_tables import queried


def item_spellings(purchases: ir.Table, items: ir.Table) -> ir.Table:
    """One row per item id found in purchases: how the item is spelled, and what the catalogue knows of it.

    An id that the catalogue has but for capitals is taken for the catalogue's; where it has several such, for none of them.
    Of ids that differ in capitals only and that the catalogue does not have, the most frequent is taken, then the smallest.

    Returns
    -------
    Columns `item_id`, `spelling`, `listed` (the catalogue has the spelling), `by_measure` and `item_cost_cents`.
    """
    return queried(
        """
        WITH catalogue AS (
            SELECT item_id, coalesce(bool_or(sold_by_measure), false) AS by_measure, min(cost_cents) AS item_cost_cents
            FROM {items} GROUP BY item_id
        ), folds AS (
            SELECT lower(item_id) AS fold, count(*) AS alike, min(item_id) AS one FROM catalogue GROUP BY fold
        ), found AS (
            SELECT item_id, lower(item_id) AS fold, count(*) AS times FROM {purchases}
            WHERE item_id IS NOT NULL GROUP BY item_id
        ), spelled AS (
            SELECT found.item_id,
                   CASE WHEN catalogue.item_id IS NOT NULL OR alike > 1 THEN found.item_id
                        WHEN alike = 1 THEN one
                        ELSE first_value(found.item_id) OVER (PARTITION BY fold ORDER BY times DESC, found.item_id)
                   END AS spelling
            FROM found LEFT JOIN folds USING (fold) LEFT JOIN catalogue USING (item_id)
        )
        SELECT spelled.item_id, spelling, catalogue.item_id IS NOT NULL AS listed,
               coalesce(by_measure, false) AS by_measure, item_cost_cents
        FROM spelled LEFT JOIN catalogue ON catalogue.item_id = spelling
        """,
        purchases=purchases,
        items=items,
    )
