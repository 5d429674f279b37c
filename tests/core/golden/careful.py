def careful(careful, passes=None):
    """Careful: one pass; phases train."""
    try:
        if passes is None:
            enter(careful)
            careful.before_run()                            # tests/core/golden_trees.py:66
            passes = items(careful)
            if careful._pending:
                if changed(careful):
                    return resume(careful, passes)
        for careful.index, careful.count, careful.item in passes:
            try:
                careful.before_pass()                       # tests/core/golden_trees.py:72
                careful.phase = "train"
                try:
                    careful.switch_phase("train")           # tests/core/golden_trees.py:63
                    careful.before_phase()                  # tests/core/golden_trees.py:78
                    try:
                        careful.on_step()                   # tests/core/golden_trees.py:84
                    except BaseException as error:
                        failed = [careful.failed_step]      # tests/core/golden_trees.py:87
                        if not leaves(careful, error, "step", failed=failed):
                            raise
                    finally:
                        hooks = [careful.finally_step]      # tests/core/golden_trees.py:90
                        if problem := finish(careful, "step", hooks=hooks):
                            raise problem                   # by careful.finally_step
                except BaseException as error:
                    if not leaves(careful, error, "phase"):
                        raise
                finally:
                    hooks = [careful.finally_phase]         # tests/core/golden_trees.py:81
                    if problem := finish(careful, "phase", hooks=hooks):
                        raise problem                       # by careful.finally_phase
                careful.phase = None
            except BaseException as error:
                failed = [careful.failed_pass]              # tests/core/golden_trees.py:75
                if not leaves(careful, error, "pass", failed=failed):
                    raise
            if careful._pending:
                if changed(careful):
                    return resume(careful, passes)
                break
        careful.count = careful._first + careful.index + 1
    except BaseException as error:
        if not leaves(careful, error, "run"):
            raise
    finally:
        hooks = [careful.finally_run]                       # tests/core/golden_trees.py:69
        if problem := finish(careful, "run", hooks=hooks):
            raise problem                                   # by careful.finally_run
