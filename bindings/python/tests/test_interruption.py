"""Signals while training runs in C: each program here is a process of its own."""

import os
import signal
import subprocess
import sys
import textwrap

PROBLEM = """
import os, signal, sys, threading, time, numpy as np, twolayernet as t
rng = np.random.default_rng(0)
x = rng.integers(0, 256, (5000, 20), dtype=np.uint8)
data = t.Dataset(x, (x[:, 0] > 127).astype(int))
trainer = t.Trainer(t.Network(20, 64, 2))

def later(seconds, number):
    threading.Timer(seconds, lambda: os.kill(os.getpid(), number)).start()
"""


def run(program, code=0):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        [sys.executable, "-c", PROBLEM + textwrap.dedent(program)],
        env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert result.returncode == code, result.stderr
    return result.stdout.split()


def test_several_interruptions_leave_no_trace():
    """Wherever the second of two Ctrl-C falls."""
    output = run("""
        def attempt():
            try:
                trainer.fit(data, 10**9)
            except KeyboardInterrupt:
                print("stopped")

        for _ in range(5):
            try:
                later(0.1, signal.SIGINT)
                later(0.1, signal.SIGINT)
                attempt()
                time.sleep(0.2)
            except KeyboardInterrupt:
                pass
        before = trainer.position[0]
        trainer.fit(data, 2)
        print()  # The second may have come between "stopped" and its newline.
        print(trainer.position[0] - before, trainer.position[1], threading.active_count())
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert signal.set_wakeup_fd(-1) == -1
    """)
    assert output[-3:] == ["2", "0", "1"]


def test_a_handler_that_raises_ends_the_training():
    output = run("""
        def stop(number, frame):
            raise SystemExit(3)
        signal.signal(signal.SIGTERM, stop)
        later(0.2, signal.SIGTERM)
        try:
            trainer.fit(data, 10**9)
        except SystemExit:
            print(trainer.network.predict(x).shape[0])
            raise
    """, code=3)  # fmt: skip
    assert output == ["5000"]


def test_training_goes_on_after_a_handler_that_does_not():
    """To the same bits as if nothing had come."""
    output = run("""
        heard = []
        signal.signal(signal.SIGINT, lambda number, frame: heard.append(trainer.position))
        later(0.3, signal.SIGINT)
        epochs = 0
        while not heard:
            trainer.fit(data, 20)
            epochs += 20
            assert trainer.position == (epochs, 0)
        other = t.Trainer(t.Network(20, 64, 2))
        other.fit(data, epochs)
        same = all(np.array_equal(a, b) for a, b in zip(
            trainer.network.state_dict().values(), other.network.state_dict().values()))
        print(len(heard), same)
    """)
    assert output == ["1", "True"]


def test_an_event_loop_hears_of_signals_too():
    output = run("""
        import asyncio
        async def main():
            heard = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, heard.set)
            later(0.1, signal.SIGTERM)
            start = time.monotonic()
            while time.monotonic() - start < 0.4:
                trainer.fit(data, 20)
            await asyncio.wait_for(heard.wait(), 5)
            print("heard")
        asyncio.run(main())
    """)
    assert output == ["heard"]


def test_an_ignored_signal_stays_ignored():
    output = run("""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        later(0.05, signal.SIGINT)
        trainer.fit(data, 100)
        print(trainer.position[0])
    """)
    assert output == ["100"]


def test_a_signal_without_a_handler_kills_as_usual():
    run("""
        later(0.1, signal.SIGTERM)
        trainer.fit(data, 10**9)
    """, code=-signal.SIGTERM)  # fmt: skip
