"""Whatever takes its turn when, an event carries what its own request has said, and nothing of any other."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from support.flows import Greenlet, Stream, Task, Worker

from eventpub.integrations import say
from eventpub.tracking import MemoryBackend, Tracker

names = st.sampled_from("abc")
which = st.integers(min_value=0)


class Flow:
    """What the model knows of a flow: its request, what that has said, and what is entered in the flow."""

    def __init__(self, actor: Any, request: str, said: dict[str, Any], entered: dict[str, str]) -> None:
        self.actor = actor
        self.request = request
        self.said = said  # one for all flows of the request
        self.entered = entered
        self.blocks: list[tuple[Any, str]] = []

    def expected(self) -> dict[str, Any]:
        return {**self.said, **{f"ctx {name}": value for name, value in self.entered.items()}}


class Requests(RuleBasedStateMachine):
    """Requests of threads, tasks on kept-alive connections, greenlets and streams, and what they start."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = MemoryBackend()
        self.tracker = Tracker({"memory": self.memory})
        self.shared = self.tracker.context("shared", {"ctx shared": "by all"})
        self.loop = asyncio.new_event_loop()
        self.connections = [contextvars.Context() for _ in range(2)]
        self.workers = [Worker() for _ in range(2)]
        self.flows: list[Flow] = []
        self.number = 0

    def begin(self, actor: Any) -> None:
        self.flows.append(Flow(actor, f"r{self.number}", {}, {}))

    def next_id(self) -> str:
        self.number += 1
        return f"r{self.number}"

    def flow(self, which: int) -> Flow:
        return self.flows[which % len(self.flows)]

    # --- requests begin ----------------------------------------------------------------------------------

    @rule(which=which)
    def begin_in_a_thread(self, which: int) -> None:
        worker = self.workers[which % 2]
        if worker.is_free:
            worker.begin(self.next_id())
            self.begin(worker)

    @rule(which=which)
    def begin_on_a_connection(self, which: int) -> None:
        self.begin(Task.begin(self.loop, self.next_id(), self.connections[which % 2]))

    @rule()
    def begin_in_a_greenlet(self) -> None:
        self.begin(Greenlet(self.next_id()))

    @rule()
    def begin_a_stream(self) -> None:
        self.begin(Stream(self.next_id()))

    # --- and do what they do -----------------------------------------------------------------------------

    @precondition(lambda self: self.flows)
    @rule(which=which, connection=which)
    def resume_reading(self, which: int, connection: int) -> None:
        """The callbacks of a connection have the context of the code that resumed reading or asked for more."""
        self.connections[connection % 2] = self.flow(which).actor.do(contextvars.copy_context)

    @precondition(lambda self: self.flows)
    @rule(which=which, key=names)
    def say(self, which: int, key: str) -> None:
        flow = self.flow(which)
        value = f"{flow.request} said {len(flow.said)}"
        flow.actor.do(lambda: say(**{key: value}))
        flow.said[key] = value

    @precondition(lambda self: self.flows)
    @rule(which=which, name=names)
    def enter(self, which: int, name: str) -> None:
        flow = self.flow(which)
        flow.entered[name] = value = f"{flow.request} entered"
        flow.actor.do(lambda: self.tracker.enter_context(name, {f"ctx {name}": value}))

    @precondition(lambda self: self.flows)
    @rule(which=which, name=names)
    def leave(self, which: int, name: str) -> None:
        flow = self.flow(which)
        if flow.entered.pop(name, None):
            flow.actor.do(lambda: self.tracker.exit_context(name))

    @precondition(lambda self: self.flows)
    @rule(which=which, is_shared=st.booleans())
    def begin_block(self, which: int, is_shared: bool) -> None:  # noqa: FBT001, drawn
        flow = self.flow(which)
        name = "shared" if is_shared else f"block {len(flow.blocks)} of {self.number}"
        if name in flow.entered:
            return
        value = "by all" if is_shared else f"{flow.request} blocked"
        block = self.shared if is_shared else self.tracker.context(name, {f"ctx {name}": value})
        flow.actor.do(block.__enter__)
        flow.entered[name] = value
        flow.blocks.append((block, name))

    @precondition(lambda self: self.flows)
    @rule(which=which, block=which)
    def end_block(self, which: int, block: int) -> None:
        flow = self.flow(which)
        if flow.blocks:
            ended, name = flow.blocks.pop(block % len(flow.blocks))
            flow.actor.do(lambda: ended.__exit__(None, None, None))
            del flow.entered[name]

    @precondition(lambda self: self.flows)
    @rule(which=which)
    def start_another(self, which: int) -> None:
        """A task or a greenlet that a request starts has what it has at that moment, and goes its own way."""
        flow = self.flow(which)
        if isinstance(flow.actor, Task):
            child: Any = flow.actor.do(flow.actor.spawn)
        else:
            child = Greenlet(None, flow.actor.do(contextvars.copy_context))
        self.flows.append(Flow(child, flow.request, flow.said, dict(flow.entered)))

    @precondition(lambda self: self.flows)
    @rule(which=which)
    def emit(self, which: int) -> None:
        flow = self.flow(which)
        flow.actor.do(lambda: self.tracker.emit("event"))
        context = dict(self.memory.events.pop()["context"])
        assert context.pop("request")["id"] == flow.request
        assert context == flow.expected()

    # --- and end -----------------------------------------------------------------------------------------

    @precondition(lambda self: self.flows)
    @rule(which=which)
    def end(self, which: int) -> None:
        flow = self.flows.pop(which % len(self.flows))
        flow.actor.end()

    @invariant()
    def nothing_is_bound_outside(self) -> None:
        assert self.tracker.resolve_context() == {}
        for worker in self.workers:
            if worker.is_free:
                assert worker.do(self.tracker.resolve_context) == {}

    def teardown(self) -> None:
        for flow in reversed(self.flows):
            flow.actor.end()
        for worker in self.workers:
            worker.end()
        self.loop.close()
        assert not self.tracker.failures


TestRequests = Requests.TestCase
TestRequests.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
