"""Tests of the embedded defaults, on the real servers."""
