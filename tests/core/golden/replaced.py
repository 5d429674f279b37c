def counting(counting, other, passes=None):
    """Counting: 9 passes."""
    try:
        if passes is None:
            enter(counting)
            passes = items(counting)
        for counting.index, counting.count, counting.item in passes:
            try:
                if (counting.count + 1) % 3 == 0:
                    other.on_step()                         # tests/core/golden_trees.py:120, instead of Counting.on_step
                else:
                    counting.on_step()                      # tests/core/golden_trees.py:9
            except Cancel as cancel:
                if not leaves(counting, cancel, "step", "pass"):
                    raise
            if counting._pending:
                if changed(counting):
                    return resume(counting, passes)
                break
        counting.count = counting._first + counting.index + 1
    except BaseException as error:
        if not leaves(counting, error, "run"):
            raise
