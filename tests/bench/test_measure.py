"""Processor time and peaks of real processes."""

from __future__ import annotations

import os
import subprocess
import sys

from bench.measure import Meter, processor_seconds

CHILD = "import time\nwhile time.process_time() < 0.1: pass\n"
PARENT = f"""
import subprocess, sys
input()
subprocess.run([sys.executable, "-c", {CHILD!r}], check=True)
held = bytearray(b"x" * 50_000_000)
del held
print("done", flush=True)
input()
"""
GRAIN_SECONDS = 0.02


def test_a_child_that_has_ended_counts_and_a_peak_that_has_gone_is_told() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdin is not None
    assert parent.stdout is not None
    with parent:
        meter = Meter({"one": parent.pid}, peaks=["one"])
        meter.start()
        parent.stdin.write("\n")
        parent.stdin.flush()
        assert parent.stdout.readline() == "done\n"
        taken = meter.stop()
        parent.stdin.write("\n")
    assert taken.seconds["one"] > 0.1 - GRAIN_SECONDS
    assert taken.peak_bytes["one"] > 50_000_000


def test_children_that_run_count_but_for_those_set_apart() -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD + "input()"], stdin=subprocess.PIPE)
    with child:
        while processor_seconds(child.pid) < 0.1:
            pass
        children = {os.getpid(): [child.pid]}
        apart = processor_seconds(os.getpid(), children, apart=[child.pid])
        assert processor_seconds(os.getpid(), children) >= apart + 0.1
        assert child.stdin is not None
        child.stdin.write(b"\n")


def test_of_the_measuring_process_itself_only_its_own_time_counts() -> None:
    meter = Meter({"this": os.getpid()})
    meter.start()
    subprocess.run([sys.executable, "-c", CHILD], check=True)
    assert meter.stop().seconds["this"] < 0.1
