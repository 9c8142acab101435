"""The checks of the promotion gate, each a function from a contender to findings; `training.promotion` puts them together."""
