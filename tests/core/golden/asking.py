def counting(counting, answer, passes=None):
    """Counting: 3 passes."""
    try:
        if passes is None:
            enter(counting)
            passes = items(counting)
        for counting.index, counting.count, counting.item in passes:
            try:
                counting.on_step()                          # tests/core/golden_trees.py:9
                answer._go()                                # counting.answer, below
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


def answer(answer, passes=None):
    """Answer: one pass, each time counting calls it on on_step."""
    try:
        if passes is None:
            if answer._marked:
                clear(answer)
            answer.phase, answer._first = answer.parent.phase, answer.count
            answer.index = answer.item = 0
            try:
                try:
                    answer.on_think()                       # tests/core/golden_trees.py:48
                except Cancel as cancel:
                    if not leaves(answer, cancel, "think"):
                        raise
                try:
                    answer.on_speak()                       # tests/core/golden_trees.py:51
                except Cancel as cancel:
                    if not leaves(answer, cancel, "speak"):
                        raise
            except Cancel as cancel:
                if not leaves(answer, cancel, "pass"):
                    raise
            if answer._pending:
                if changed(answer):
                    return resume(answer, ())
        answer.count = answer._first + answer.index + 1
    except BaseException as error:
        if not leaves(answer, error, "run"):
            raise
    finally:
        hooks = [answer.finally_run]                        # tests/core/golden_trees.py:54
        if problem := finish(answer, "run", hooks=hooks):
            raise problem                                   # by answer.finally_run
