"""Models, data sets, steps and evaluators of `parts.py`, each broken in one way: (case of
`config.py`, overrides, part of the line).
"""

PARTS = 'tests.mistakes.parts'
EVAL = f"evals={{{{'x': @{PARTS}.{{}}}}}}"

CONTRACT = [
    *(
        ('own', [f'model.fault={fault}'], line)
        for fault, line in (
            ('phases: a list', 'Model.phases must be a tuple of Phase, not a list of 1'),
            ('phases: empty', 'Model.phases must be a tuple of Phase, not a tuple of 0'),
            ('phases: names', "Model.phases must be a tuple of Phase, and has 'fit'"),
            ('phases: trains text', "trains of 'fit' must be a tuple of parameter groups, not 'w'"),
            (
                'phases: trains nothing',
                "trains of 'fit' must be a tuple of parameter groups, not ()",
            ),
            ('phases: unknown group', "'fit' trains 'v', and the parameter groups of init are w"),
            ('phases: repeats', "Model.phases: repeats of 'fit' must be at least 1, not 0"),
            ('phases: twice', "Model.phases has two of the name 'fit'"),
            ('phases: takes over', "'fit' takes over from the phase before it, and both must"),
            ('phases: no loss', "Model.phases: loss of 'fit' is None"),
            ('phases: short loss', 'Phase.loss is called with (variables, batch, key): too many'),
            ('init: nothing', "Model.init must return {'params': …, 'state': …}, not None"),
            ('init: parameters alone', "not {'w': {'mean': float32[3]}}"),
            (
                'init: no state',
                "Model.init must return {'params': …, 'state': …}, not {'params': {",
            ),
            ('init: a list', "Model.init: 'params' must be a dict of groups, not a list of 1"),
            (
                'loss: nothing',
                "'fit' (Model.loss) must return LossOutput(values, metrics, state), not",
            ),
            ('loss: a number', 'must return LossOutput(values, metrics, state), not float32[]'),
            ('loss: a tuple', 'must return LossOutput(values, metrics, state), not a tuple of 3'),
            (
                'loss: mean values',
                'must return values [B], here float32[8], a loss of each example',
            ),
            ('loss: values of elements', 'not float32[8, 3]'),
            ('loss: whole numbers', 'not int32[8]'),
            ('loss: a list of metrics', 'must return a dict of metrics, not a list of 1'),
            (
                'loss: a metric of elements',
                "the metric 'x' must be [B] or a number, not float32[8, 3]",
            ),
            ('loss: no state', 'must return the state of the model whole'),
            ('loss: empty state', "{'w': {'count': float32[]}}, not {}"),
            ('loss: state of another shape', "['w']['count'] became float32[2], of float32[]"),
            ('loss: state of another type', "['w']['count'] became int32[], of float32[]"),
            ('loss: their KeyError', 'parts.py:'),
            ('loss: their TypeError', 'in loss: ValueError: Incompatible shapes for broadcasting'),
            ('sample: nothing', 'Model.sample of 3 must return [3, *event], here [3, 3], not None'),
            (
                'sample: one',
                'Model.sample of 3 must return [3, *event], here [3, 3], not float32[3]',
            ),
            ('sample: flat', 'not float32[3]'),
            ('sample: twice', 'not a tuple of 2'),
            (
                'log_prob: an array',
                'Model.log_prob must return LogProb(value, kind), not float32[8]',
            ),
            ('log_prob: a mean', 'Model.log_prob must return a value [B], here [8], not float32[]'),
            (
                'log_prob: kind',
                "Model.log_prob: the kind is 'exact', 'lower_bound' or 'estimate', not",
            ),
        )
    ),
    *(
        ('own', [f'model=@{PARTS}.{name}'], line)
        for name, line in (
            ('NoInit', 'a NoInit is not a model: it has no init'),
            ('NoPhases', 'a NoPhases is not a model: it has no phases'),
            ('ShortInit', 'ShortInit.init is called with (key, batch): too many'),
            (
                'UnlabelledSample',
                'UnlabelledSample.sample is called with (variables, key, 1, label=)',
            ),
            ('ShortLogProb', 'ShortLogProb.log_prob is called with (variables, x, key): too many'),
            ('Data', 'a Data is not a model: it has no phases, init'),
            ('takes_two', 'takes_two needs model, variables: --config.model.model=…'),
        )
    ),
    *(
        ('own', [f'dataset.fault={fault}'], line)
        for fault, line in (
            ('another shape', 'Data.event_shape is (4,), and an x has (3,)'),
            ('their error', 'FileNotFoundError'),
            ('not finite', 'x of example 7 of'),
            (
                'infinite, in a source of its own',
                'x of example 11 of the train split is not finite',
            ),
            ('empty', 'Data: the train split is empty'),
            ('a plain array', 'what Data.source returns'),
            ('nothing', 'None is not what Data.source returns'),
            ('rows: nothing', "Data.source('train')[indices] must return a dict with x, not None"),
            ('rows: an array', 'must return a dict with x, not float32[2, 3]'),
            ('rows: lists', "must return arrays of numbers, and 'x' is a list of 2"),
            ('rows: no x', "must return a dict with x, not {'image': float32[2, 3]}"),
            ('rows: too few', "of 2 indices must return 2 rows, and 'x' is float32[1, 3]"),
            ('rows: text', "must return arrays of numbers, and 'x' is <U1[2]"),
            ('rows: unknown key', "returned 'lable'; did you mean 'label'?"),
            (
                'rows: labels with a fraction',
                "must return whole numbers [2] as 'label', not float32",
            ),
            ('rows: one-hot labels', "must return whole numbers [2] as 'label', not int64[2, 20]"),
            ('rows: their IndexError', 'parts.py:'),
        )
    ),
    *(
        ('own', [f'dataset=@{PARTS}.{name}'], line)
        for name, line in (
            ('NoSource', 'a NoSource is not a data set: it has no source'),
            ('NoClasses', 'a NoClasses is not a data set: it has no num_classes'),
            ('OneSplit', 'OneSplit.source is called with (train): too many'),
            ('Model', 'a Model is not a data set: it has no event_shape, num_classes, source'),
        )
    ),
    *(
        ('own', [f'preprocess.steps=(@{PARTS}.Step,)', f'preprocess.steps[0].fault={fault}'], line)
        for fault, line in (
            ('y alone', 'Step.__call__ must return (y, log_det), not float32'),
            ('nothing', 'Step.__call__ must return (y, log_det), not None'),
            ('one log-determinant', 'Step.__call__ must return a log_det ['),
            ('log-determinants of elements', 'Step.__call__ must return a log_det ['),
        )
    ),
    *(
        ('own', [f'preprocess.steps=(@{PARTS}.{name},)'], line)
        for name, line in (
            ('NoInverse', 'is not a preprocessing step: it has no inverse'),
            ('Model', 'is not a preprocessing step: it has no bound, takes_pixels, inverse'),
            ('ShortStep', 'ShortStep is called with (x, key): too many positional arguments'),
        )
    ),
    *(
        ('own', [f'dataset.fault=test: {fault}', EVAL.format('Raises')], line)
        for fault, line in (
            ('another shape', 'an x of the test split is (2,), one of the train split (3,)'),
            ('empty', 'the test split is empty, and config.evals.x evaluates on it'),
            ('their error', "in source: KeyError: 'test'"),
        )
    ),
    ('own', [EVAL.format('TakesTwo')], 'TakesTwo is called with (model, variables, data, k'),
    (
        'own',
        [f'optimizer.learning_rate=@{PARTS}.bad_schedule'],
        "in bad_schedule: KeyError: 'rate'",
    ),
]

AFTER_TRAINING = [
    ('own', [EVAL.format(name)], line) for name, line in (
        ('ReturnsNothing', 'ReturnsNothing must return a dict of results, not None'),
        ('ReturnsNumber', 'ReturnsNumber must return a dict of results, not 3.0'),
        ('ReturnsArray', "must return numbers and texts by name, and 'rows' is float64[3]"),
        ('ReturnsNone', "must return numbers and texts by name, and 'nll' is None"),
        ('NumbersNames', 'must return numbers and texts by name, and 1 is 2.0'),
        ('Raises', 'in __call__: ZeroDivisionError: division by zero'),
    )
]  # fmt: skip
