import pytest

from genjax import config as configs
from genjax import files
from genjax.sweeps import seeds, trials
from genjax.sweeps.folder import Folder
from tests.training import tiny


def test_what_is_left_of_a_sweep_that_ended_as_it_wrote_its_configs_is_a_sweep(
    tmp_path, monkeypatch
):
    folder, several = Folder(tmp_path / 'runs'), trials.trials_of(tiny.vae(), seeds(3))
    write, calls = files.write_json, []

    def write_two(path, content):
        calls.append(path)
        if len(calls) > 2:
            raise KeyboardInterrupt
        write(path, content)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt), folder.locked():
        patched.setattr(files, 'write_json', write_two)
        folder.add('config.py', several)
    with folder.locked():
        folder.add('config.py', several)
    for trial in several:
        saved = configs.load(str(folder.config(trial.id)))
        assert configs.to_json(saved) == configs.to_json(trial.config)
