def training(training, batches, recorder, passes=None):
    """Training: 10 passes; phases train, valid (every 5 passes)."""
    try:
        if passes is None:
            enter(training)
            passes = items(training)
        for training.index, training.count, training.item in passes:
            try:
                training.phase = "train"
                try:
                    training.on_batches()                   # tests/core/golden_trees.py:36
                    batches._go()                           # training.batches, below
                    if (training.count + 1) % 2 == 0:
                        recorder.loop = training
                        recorder.after_batches()            # tests/core/golden_trees.py:104
                except Cancel as cancel:
                    if not leaves(training, cancel, "batches", "phase"):
                        raise
                if (training.count + 1) % 5 == 0:
                    training.phase = "valid"
                    try:
                        try:
                            training.on_batches()           # tests/core/golden_trees.py:36
                            batches._go()                   # training.batches, below
                            if (training.count + 1) % 2 == 0:
                                recorder.loop = training
                                recorder.after_batches()    # tests/core/golden_trees.py:104
                        except Cancel as cancel:
                            if not leaves(training, cancel, "batches"):
                                raise
                        try:
                            training.on_report()            # tests/core/golden_trees.py:39
                        except Cancel as cancel:
                            if not leaves(training, cancel, "report"):
                                raise
                    except Cancel as cancel:
                        if not leaves(training, cancel, "phase"):
                            raise
                training.phase = None
            except Cancel as cancel:
                if not leaves(training, cancel, "pass"):
                    raise
            if training._pending:
                if changed(training):
                    return resume(training, passes)
                break
        training.count = training._first + training.index + 1
        recorder.loop = training
        recorder.after_run()                                # tests/core/golden_trees.py:113
    except BaseException as error:
        if not leaves(training, error, "run"):
            raise


def batches(batches, clip, recorder, passes=None):
    """Batches: a pass for each of its items(), each time training calls it on on_batches."""
    try:
        if passes is None:
            enter(batches)
            passes = items(batches)
            if batches._pending:
                if changed(batches):
                    return resume(batches, passes)
        for batches.index, batches.count, batches.item in passes:
            try:
                batches.before_batch()                      # tests/core/golden_trees.py:21
                clip.before_batch()                         # tests/core/golden_trees.py:97
                batches.on_batch()                          # tests/core/golden_trees.py:24
                if batches.phase == "train":
                    batches.after_batch()                   # tests/core/golden_trees.py:27
                if batches.phase == "train" and (batches.count + 1) % 100 == 0:
                    recorder.loop = batches
                    recorder.after_batch()                  # tests/core/golden_trees.py:107
            except BaseException as error:
                if not leaves(batches, error, "batch", "pass"):
                    raise
            finally:
                hooks = [batches.phase in ("train", "valid") and recorder.finally_batch]  # tests/core/golden_trees.py:110
                if problem := finish(batches, "batch", "pass", hooks=hooks):
                    raise problem                           # by recorder.finally_batch
            if batches._pending:
                if changed(batches):
                    return resume(batches, passes)
                break
        batches.count = batches._first + batches.index + 1
    except BaseException as error:
        if not leaves(batches, error, "run"):
            raise
