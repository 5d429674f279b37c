"""Ignite: an engine whose step is the body, with handlers at the start and end of each iteration."""

from ignite.engine import Engine, Events
from measure import Contender, timed


def contender(body, counters) -> Contender:
    engine = Engine(lambda engine, batch: body.on_batch())
    for counter in counters:
        engine.add_event_handler(Events.ITERATION_STARTED, counter.before_batch)
        engine.add_event_handler(Events.ITERATION_COMPLETED, counter.after_batch)
    return lambda passes: timed(engine.run, range(passes))
