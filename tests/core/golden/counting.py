def counting(counting, passes=None):
    """Counting: 3 passes."""
    try:
        if passes is None:
            enter(counting)
            passes = items(counting)
        for counting.index, counting.item in passes:
            try:
                counting.on_step()                          # tests/core/golden_trees.py:9
            except Cancel as cancel:
                if not leaves(counting, cancel, "step", "pass"):
                    raise
            counting.count += 1
            if counting._pending:
                if changed(counting):
                    return resume(counting, passes)
                break
    except Cancel as cancel:
        if not leaves(counting, cancel, "run"):
            raise
