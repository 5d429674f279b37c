"""The most memory that this process has had."""


def most_mb() -> float:
    """MiB in use at most. `getrusage` would count what the process that started this one had."""
    with open("/proc/self/status") as status:
        (line,) = (line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
