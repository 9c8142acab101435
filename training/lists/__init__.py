"""Lists: what a recommender learns from purchases and looks, how it is fitted, and how it is proved."""
