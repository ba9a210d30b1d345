"""Plausible mistakes in a command line of training end in one line, which says what is wrong."""

from __future__ import annotations

import shlex
import shutil
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('tensorflow', reason='training needs TensorFlow')
pytest.importorskip('rosbags')

COLUMNS = 'file,source,group,source_label,label'


@pytest.fixture()
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of files that are not what they seem to be; it is the current one."""
    from test_training_data import write

    monkeypatch.chdir(tmp_path)
    for name in ('empty.npz', 'run/member_0/held_back.npz', 'empty.mp4', 'empty.csv'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    np.savez('scalars.npz', joints=1.0, offsets=1, label=1, fps=1, layout='mpose13_2d', actor='a',
             take='b')
    for name, line in (('short', 'empty.mp4'), ('long', 'empty.mp4,a,b,c,d,e'),
                       ('video', 'empty.mp4,a,b,c,d'), ('none', 'none.mp4,a,b,c,d')):
        Path(f'{name}.csv').write_text(f'{COLUMNS}\n{line}\n')
    Path('latin.csv').write_bytes(COLUMNS.encode() + b'\n\xff,a,b,c,d\n')
    Path('run/config.json').write_text(
        '{"name": "x", "files": ["empty.npz"], "members": [0], "labels": ["walk", "run"]}')
    for name in ('other', 'list'):
        shutil.copytree('run', name)
    np.savez('other/member_0/held_back.npz', something=1)
    Path('list/config.json').write_text('[]')
    write(tmp_path / 'people.npz', labels=np.array(['walk', 'run']))
    people = 'files: [people.npz]\nlabels: [walk, run]\nfolds: 2\n'
    Path('mlp.yaml').write_text(f'name: mlp\nmodel: mlp\n{people}')
    Path('everybody.yaml').write_text(
        f'name: everybody\nstrangers: [[people]]\nmembers: [2]\n{people}')
    for name in ('empty', 'scalars'):
        Path(f'{name}.yaml').write_text(f'name: x\nfiles: [{name}.npz]')
    return tmp_path


@pytest.mark.parametrize(('command', 'said'), [
    ('train --config empty.yaml --data .', 'empty.npz: is not a readable .npz file'),
    ('train --config scalars.yaml --data .', 'scalars.npz: joints must be (frames, 13, 3)'),
    ('train --config empty.yaml --data . --threads=-1', '--threads: must be 0 or more, not -1'),
    ('evaluate --run run', 'run/member_0/held_back.npz is damaged'),
    ('evaluate --bundle act_mu --files a.npz --card c.md', '--card goes with --run'),
    ('evaluate --run x --files a.npz', '--files goes with --bundle'),
    ('evaluate --bundle act_mu --files empty.npz', 'empty.npz: is not a readable .npz file'),
    ('export --run run --data .', 'run/member_0/held_back.npz is damaged'),
    ('videos --labels none.csv --output v.npz', 'none.csv names none.mp4, which does not exist'),
    ('videos --labels video.csv --output v.npz', 'empty.mp4 cannot be opened'),
    ('videos --labels short.csv --output v.npz', 'short.csv line 2 has not as many cells'),
    ('videos --labels long.csv --output v.npz', 'long.csv line 2 has not as many cells'),
    ('videos --labels latin.csv --output v.npz', 'cannot read the labels latin.csv'),
    ('videos --labels video.csv --output v.txt', 'must end in .npz, as v.txt does not'),
    ('videos --labels video.csv --output v.npz --every 0', '--every: must be 1 or more, not 0'),
    ('videos --pair empty.npz empty.npz --errors e.npz', 'empty.npz: is not a readable .npz file'),
    ('introspect --weights W --data D --output out --step 10 --video no.mp4',
     'no.mp4 does not exist'),
    ('introspect --weights W --data D --output out --limit 0', '--limit: must be 1 or more'),
    ('record --recording a a.csv --output o.npz --threads 0', '--threads: must be 1 or more'),
    ('introspect --weights W --data D --output out --member 1', '--member goes with --run'),
    ('introspect --weights W --data D --output out --split 2',
     '--extractor and --split go with --weights and a folder of MPOSE2021'),
    ('introspect --weights W --data . --output out --mpose-order',
     '--mpose-order goes with sequence files'),
    ('videos --pair a.npz b.npz --errors e.npz --every 2', '--every goes with --labels'),
    ('videos --pair a.npz b.npz --errors e.npz --output v.npz', '--output goes with --labels'),
    ('videos --pair a.npz b.npz --errors e.npz --look small', '--look goes with --labels'),
    ('videos --labels video.csv --output v.npz --errors e.npz', '--errors goes with --pair'),
    ('paper.import_weights --folds f.npz --output . --size mu', '--size goes with --h5'),
    ('paper.import_weights --folds f.npz --output . --layout coco17', '--layout goes with --h5'),
    ('paper.import_weights --folds f.npz --output . --frame-rate 15',
     '--frame-rate goes with --h5'),
    ('evaluate --run other', 'other/member_0/held_back.npz lacks own_logits'),
    ('evaluate --run list', 'list is not the folder of a training run (must be a mapping'),
    ('train --config mlp.yaml --data .', 'mlp takes no windows shorter than 30 frames'),
    ('train --config everybody.yaml --data .', 'everybody is held back'),
    ('search --trials 0', '--trials: must be 1 or more'),
    ('paper.latency --output empty.csv --models mlp --runs 1 --warm-ups 0 --threads 1',
     "File exists: 'empty.csv'"),
])
def test_a_mistake_is_one_line(
    folder: Path, command: str, said: str, capfd: pytest.CaptureFixture,
) -> None:
    if ' W ' in command:
        from test_training_data import write

        weights = Path(__file__).parents[2] / 'models' / 'act_mu.weights.h5'
        command = command.replace(' W ', f' {weights} ').replace(' D ', ' data.npz ')
        write(folder / 'data.npz', labels=np.array(['standing', 'walk']))
    name, *arguments = shlex.split(command)
    with pytest.raises(SystemExit) as caught:
        import_module(f'training.{name}').main(arguments)
    assert caught.value.code == 2 and said in capfd.readouterr().err.splitlines()[-1]


def test_marks_of_other_clips_are_told(folder: Path, capsys: pytest.CaptureFixture) -> None:
    from test_training_data import write

    from training import videos

    write(folder / 'a.npz')
    with pytest.raises(SystemExit):
        videos.main(['--pair', 'a.npz', 'a.npz', '--errors', 'errors.npz'])
    assert 'none of the clips of a.npz is found again in a.npz' in capsys.readouterr().err
    assert not Path('errors.npz').exists()
