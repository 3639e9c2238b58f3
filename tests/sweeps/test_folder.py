import pytest

from genjax import cli, files
from genjax import config as configs
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


def test_a_folder_is_of_one_config_file(tmp_path, capsys):
    path = tmp_path / 'runs'
    assert Folder(path).before('config.py') is None
    Folder(path).add('config.py', trials.trials_of(tiny.vae(), seeds(2)))
    assert len(Folder(path).before('config.py')['trials']) == 2
    options = [f'--workdir={path}', '--sweep=seeds(1)', '--check']
    assert cli.main(['sweep', '--config=tests/sweeps/config.py:vae', *options]) == 2
    assert 'holds a sweep over config.py, not tests/' in capsys.readouterr().err
    assert cli.main(['run_trial', str(tmp_path / 'nowhere'), 'abc']) == 2
    assert 'nowhere is not the folder of a sweep: No such file' in capsys.readouterr().err


def test_trials_are_grouped_by_the_name_of_the_folder(tmp_path, monkeypatch):
    monkeypatch.delenv('WANDB_RUN_GROUP', raising=False)
    assert Folder(tmp_path / 'beta').environment()['WANDB_RUN_GROUP'] == 'beta'
    monkeypatch.setenv('WANDB_RUN_GROUP', 'mine')
    assert Folder(tmp_path / 'beta').environment()['WANDB_RUN_GROUP'] == 'mine'
