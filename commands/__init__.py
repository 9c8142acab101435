"""What each command of `rapport` does and shows. It may import all of ours; serving, training and features never import it."""
