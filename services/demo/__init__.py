"""Synthetic schools for the demo, the tests and the benchmarks: no person in them exists."""

from services.demo.synthetic import jsonl, synthetic_school

__all__ = ["jsonl", "synthetic_school"]
