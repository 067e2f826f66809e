"""How much the tests try, and from which seed: the one place where this is said.

Tests that try many cases, of hypothesis or of their own dice, say how many make a thorough trial.
How many are made depends on what is run:

``usual``   a tenth, but a hundred where there are as many: seconds for each. (``make test``)
``soak``    ten times as many, for hours. (``make soak``)

Each run has a seed of its own, so that all the runs of a week try what no one run does. It is shown
at the end of the run, and the same cases are tried again with::

    TEST_SEED=12345 make test ARGS="tests/unit/planning"

The environment carries both, so that all pytest workers of a run agree.
"""

from __future__ import annotations

import os
import random

from hypothesis import HealthCheck, settings

USUAL, SOAK = "usual", "soak"

EFFORT = os.environ.setdefault("TEST_EFFORT", USUAL)
SEED = int(os.environ.setdefault("TEST_SEED", str(random.SystemRandom().randrange(10**9))))

if EFFORT not in (USUAL, SOAK):
    raise ValueError(f"TEST_EFFORT is {USUAL!r} or {SOAK!r}, not {EFFORT!r}")

#: Of the usual run: fewer cases than this are never made fewer.
_ENOUGH = 100
#: What says more of the machine, or of the strategy, than of what is tested.
_OF_NO_INTEREST = (
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.filter_too_much,
    HealthCheck.large_base_example,
)


def cases(thorough: int, *, enough: int = _ENOUGH) -> int:
    """How many cases to try where *thorough* of them make a thorough trial.

    :param enough: of the usual run, which makes no fewer than these.
    """
    if EFFORT == SOAK:
        return 10 * thorough
    return max(thorough // 10, min(thorough, enough))


def examples(thorough: int, *suppressed: HealthCheck, enough: int = _ENOUGH) -> settings:
    """What ``@settings`` is elsewhere: :func:`cases` of hypothesis's examples.

    :param suppressed: health checks that do not apply, beside those that never do.
    """
    return settings(
        max_examples=cases(thorough, enough=enough),
        suppress_health_check=[*_OF_NO_INTEREST, *suppressed],
    )


def seed_for(part: object) -> int:
    """The seed of one part of a test: of this run, and of the part."""
    return random.Random(f"{SEED} {part}").getrandbits(64)


def random_numbers(part: object = "") -> random.Random:
    """Random numbers for one part of a test; again the same with the same seed of the run."""
    return random.Random(seed_for(part))


# The parent matters: where CI is set, hypothesis begins with a profile of one seed for all runs.
settings.register_profile(
    EFFORT,
    parent=settings.get_profile("default"),
    max_examples=cases(100),
    deadline=None,
    derandomize=False,
    print_blob=True,
    suppress_health_check=_OF_NO_INTEREST,
)
settings.load_profile(EFFORT)


def summary() -> str:
    """What a run says at its end."""
    what = {
        USUAL: "few random cases: `make soak` before a release, and before a change of recurrence, "
        "of planning or of what is stored and sent is called done",
        SOAK: "soak: ten times the cases of a thorough trial",
    }
    return f"{what[EFFORT]}\nthe same cases again: TEST_EFFORT={EFFORT} TEST_SEED={SEED}"
