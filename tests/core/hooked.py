"""Classes for the tests of this folder whose hooks only say that they were called."""

from collections.abc import Callable, Iterable


def hooked(base: type, class_name: str, names: Iterable[str], call: Callable[[object, str], None]) -> type:
    """A subclass of `base` with a hook for each of `names`, in this order; each does `call(self, name)`."""

    def hook(name: str):
        def body(self):
            call(self, name)

        body.__name__ = name
        body.__qualname__ = f"{class_name}.{name}"
        return body

    return type(class_name, (base,), {name: hook(name) for name in names})


def logger(log: list[str]) -> Callable[[object, str], None]:
    """For `hooked`: each call of a hook appends "ClassName.hook_name" to `log`."""
    return lambda self, name: log.append(f"{type(self).__name__}.{name}")
