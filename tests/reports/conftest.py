import pytest

from tests.reports import folders


@pytest.fixture
def mixed(tmp_path):
    """Two settings at three seeds: four complete, one failed, one not begun; with markup in the
    reason.
    """
    folder = tmp_path / 'mixed'
    for number, (beta, seed) in enumerate((b, s) for b in (0.5, 400.0) for s in range(3)):
        loss = [beta + seed + 10 / step for step in (100, 200, 300)]
        records = [{'step': 100 * (i + 1), 'vae/loss': v} for i, v in enumerate(loss)]
        records.append({'step': 300, 'nll/nll': loss[-1]})
        ends = {4: ('failed', 'step 9: <b>nan</b> | "lost" </script>'), 5: ''}
        result = ends.get(number, ('complete', ''))
        test = {'test_nll/nll': loss[-1], 'test_nll/protocol': 'IWAE-5'}
        if number == 4:
            records, test = records[:2], None
        changes = {'model.beta': beta, 'seed': seed}
        folders.trial(folder, number, changes, records, test, result)
        if number < 4:
            folders.picture(folders.workdir(folder, number) / 'samples/300.png', 700)
    return folder
