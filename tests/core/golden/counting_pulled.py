def counting(counting, passes=None):
    """Counting: 3 passes."""
    try:
        if passes is None:
            enter(counting)
            passes = items(counting)
        for counting.index, counting.count, counting.item in passes:
            try:
                counting.on_step()                          # tests/core/golden_trees.py:9
            except Cancel as cancel:
                if not leaves(counting, cancel, "step", "pass"):
                    raise
            counting.count += 1
            yield counting.item
            if counting._pending:
                if changed(counting):
                    yield from repull(counting, passes)
                    return
                break
        counting.count = counting._first + counting.index + 1
    except BaseException as error:
        if not leaves(counting, error, "run"):
            raise
