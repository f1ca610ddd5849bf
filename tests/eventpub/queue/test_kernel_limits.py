"""What fits into which limits, and that the commands that are printed would make it fit."""

from __future__ import annotations

import re
import resource
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.forked import as_root, in_child, in_own_namespace, other_uid

from eventpub.errors import QueueLimitError
from eventpub.queue import kernel_limits, remedies
from eventpub.queue.kernel_limits import UNLIMITED, WANTED, KernelLimits, QueueSize, SizeRange, need_bytes
from eventpub.queue.message_queue import MessageQueue

pytestmark = pytest.mark.alone  # a limit that counts for all queues of a user

MESSAGES = st.integers(1, 65_536)
SIZES = st.integers(128, 2**24)
BYTES = st.integers(0, 2**31)
LIMITS = st.builds(
    lambda messages, size, limit_bytes: KernelLimits(messages, size, 256, limit_bytes, limit_bytes),
    MESSAGES,
    SIZES,
    BYTES,
)
GIVEN_MESSAGES = st.none() | st.integers(1, 20_000)
GIVEN_SIZE = st.none() | st.integers(1, 200_000)

ANY = SizeRange.between(None, None)
FRESH = KernelLimits(10, 8192, 256, 819_200, 819_200)


def tuned(**changes: int) -> KernelLimits:
    return FRESH._replace(**changes)


@pytest.mark.parametrize(
    ("message_size", "most_messages"), [(1, 8445), (100, 4179), (1000, 747), (8192, 98), (102_400, 7)]
)
def test_the_bytes_a_queue_needs_are_those_that_were_measured(message_size: int, most_messages: int):
    assert need_bytes(QueueSize(most_messages, message_size)) <= 819_200
    assert need_bytes(QueueSize(most_messages + 1, message_size)) > 819_200


@as_root
def test_the_bytes_a_queue_needs_are_those_the_kernel_counts(queue_name: str):
    size = QueueSize(7, 700)

    def create(limit_bytes: int) -> None:
        resource.setrlimit(resource.RLIMIT_MSGQUEUE, (limit_bytes, limit_bytes))
        MessageQueue.open(queue_name, **size._asdict())

    in_own_namespace(lambda: create(need_bytes(size)), uid=other_uid())
    with pytest.raises(QueueLimitError):
        in_own_namespace(lambda: create(need_bytes(size) - 1), uid=other_uid())


@pytest.mark.parametrize("max_messages", [32_767, 32_768, 32_769, 65_536])
def test_the_kernel_books_no_more_than_32768_priorities(max_messages: int):
    assert need_bytes(QueueSize(max_messages, 1)) == max_messages * 49 + min(max_messages, 32_768) * 48


@pytest.mark.parametrize(
    ("limits", "size"),
    [
        (FRESH, (10, 8192)),
        (tuned(msg_max=10_000, msgsize_max=102_400), (24, 8192)),
        (tuned(msg_max=10_000), (24, 8192)),
        (tuned(msgsize_max=102_400), (10, 19_456)),
        (tuned(msg_max=10_000, msgsize_max=102_400, hard_bytes=UNLIMITED), (10_000, 102_400)),
        (tuned(msg_max=10_000, msgsize_max=102_400, hard_bytes=8 * 1_024_960_000), (10_000, 102_400)),
        (tuned(msg_max=10_000, msgsize_max=102_400, hard_bytes=1_024_960_000), (2500, 102_400)),
        (tuned(msg_max=10_000, msgsize_max=102_400, hard_bytes=20_000_000), (64, 77_824)),
        (tuned(hard_bytes=100_000), (10, 8192)),
        (tuned(hard_bytes=60_000), (10, 5120)),
        (tuned(msg_max=9), None),
        (tuned(msgsize_max=4095), None),
        (tuned(hard_bytes=41_919), None),
    ],
)
def test_the_best_size_for_these_limits_is(limits: KernelLimits, size: tuple[int, int] | None):
    assert ANY.best_within(limits) == size


@given(LIMITS)
@example(FRESH)
@example(tuned(msg_max=10_000, msgsize_max=102_400, hard_bytes=1_024_960_000))
def test_a_queue_without_a_given_size_leaves_room_for_three_others(limits: KernelLimits):
    size = ANY.best_within(limits)
    if size and limits.hard_bytes >= 4 * need_bytes(QueueSize(10, 4096)):
        assert 4 * need_bytes(size) <= limits.hard_bytes


@given(LIMITS, BYTES, GIVEN_MESSAGES, GIVEN_SIZE, st.booleans())
def test_a_size_that_was_chosen_fits_and_is_of_use(limits, budget_bytes, messages, message_size, or_less):
    size = SizeRange.between(messages, message_size, or_less=or_less).fit_bytes(limits, budget_bytes)
    if size is None:
        return
    assert need_bytes(size) <= budget_bytes
    for got, given_number, least, most, limit in zip(
        size, (messages, message_size), (10, 4096), WANTED, limits, strict=False
    ):
        if given_number is None:
            assert least <= got <= min(most, limit)
        elif or_less:
            assert min(least, given_number) <= got <= given_number
        else:
            assert got == given_number


@given(LIMITS, GIVEN_MESSAGES, GIVEN_SIZE)
@example(FRESH, None, None)
@example(FRESH, 65_536, 1)
def test_no_size_is_given_up_on_that_would_fit(limits, max_messages, max_message_size):
    least = QueueSize(max_messages or 10, max_message_size or 4096)
    possible = (
        need_bytes(least) <= limits.hard_bytes
        and (max_messages or limits.msg_max >= 10)
        and (max_message_size or limits.msgsize_max >= 4096)
    )
    given_both = bool(max_messages and max_message_size)
    tried = list(SizeRange.between(max_messages, max_message_size).sizes_to_try(limits))
    assert bool(tried) == bool(possible or given_both)
    if tried:
        assert tried[-1] == least, "the smallest of use is tried in the end"
    needs = [need_bytes(size) for size in tried]
    assert needs == sorted(set(needs), reverse=True), "each one is smaller"


@given(LIMITS)
@example(FRESH)
@example(tuned(msg_max=65_536, msgsize_max=2**24, hard_bytes=2**40))
@example(tuned(msg_max=10_000, msgsize_max=102_400, hard_bytes=5 * 1_024_960_000))
def test_doing_what_is_advised_allows_all_that_is_wanted(limits: KernelLimits):
    advice = remedies.list_remedies(ANY, limits)
    settings = dict(re.findall(r"fs\.mqueue\.(\w+)=(\d+)", advice.get("now", "")))
    changed = {name: int(value) for name, value in settings.items()}
    if "systemd" in advice:
        changed["hard_bytes"] = int(re.search(r"LimitMSGQUEUE=(\d+)", advice["systemd"])[1])
    assert all(value > getattr(limits, name) for name, value in changed.items()), "nothing is lowered"
    after = limits._replace(**changed)
    assert ANY.best_within(after) == WANTED


def test_only_what_is_too_low_is_mentioned():
    limits = tuned(msg_max=10_000, hard_bytes=UNLIMITED)
    text = remedies.explain_size(limits, ANY, got=QueueSize(10_000, 8192))
    assert text == (
        "got 10,000 messages of 8,192 bytes instead of 10,000 messages of 102,400 bytes: "
        "fs.mqueue.msgsize_max is 8,192 and 102,400 is needed. "
        "Allow it, then resize the queue (`eventpub queue resize`) or create it again:\n"
        "  now:          sysctl -w fs.mqueue.msgsize_max=102400\n"
        r"  at each boot: printf 'fs.mqueue.msgsize_max = 102400\n' > /etc/sysctl.d/60-eventpub.conf"
        "\n"
        "  docker run:   --sysctl fs.mqueue.msgsize_max=102400\n"
        '  kubernetes:   securityContext: {sysctls: [{name: fs.mqueue.msgsize_max, value: "102400"}]}, '
        "and kubelet --allowed-unsafe-sysctls 'fs.mqueue.*'"
    )


def test_the_limits_read_are_those_of_this_process():
    limits = kernel_limits.read_limits()
    for name in ("msg_max", "msgsize_max", "queues_max"):
        assert getattr(limits, name) == int(Path("/proc/sys/fs/mqueue", name).read_text())
    soft, hard = (
        UNLIMITED if value == resource.RLIM_INFINITY else value
        for value in resource.getrlimit(resource.RLIMIT_MSGQUEUE)
    )
    assert (limits.soft_bytes, limits.hard_bytes) == (soft, hard)


def test_the_soft_limit_is_raised_to_the_hard_one():
    def lower_and_raise() -> tuple[int, int]:
        resource.setrlimit(resource.RLIMIT_MSGQUEUE, (1000, 5000))
        kernel_limits.raise_soft_limit()
        return kernel_limits.read_limits()[3:]

    assert in_child(lower_and_raise) == (5000, 5000)
