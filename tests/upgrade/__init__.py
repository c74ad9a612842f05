"""This release and the one before, side by side on the same servers; and from one to the other, and back."""
