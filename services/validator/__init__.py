"""The validator: takes every operator's change once, in order per school, and knows whether a school may sync."""
