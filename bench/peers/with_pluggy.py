"""pluggy: a plain loop that calls its plugins through two hooks."""

import pluggy
from measure import Contender, timed

spec, implementation = pluggy.HookspecMarker("bench"), pluggy.HookimplMarker("bench")


class Spec:
    @spec
    def before_batch(self): ...

    @spec
    def after_batch(self): ...


class Plugin:
    def __init__(self, counter):
        self.counter = counter

    @implementation
    def before_batch(self):
        self.counter.before_batch()

    @implementation
    def after_batch(self):
        self.counter.after_batch()


def contender(body, counters) -> Contender:
    manager = pluggy.PluginManager("bench")
    manager.add_hookspecs(Spec)
    for counter in counters:
        manager.register(Plugin(counter))

    def loop(passes):
        for _ in range(passes):
            manager.hook.before_batch()
            body.on_batch()
            manager.hook.after_batch()

    return lambda passes: timed(loop, passes)
