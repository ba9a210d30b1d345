"""Documents that must not drift from the code: what is generated, and what is written by hand."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest
import yaml

pytest.importorskip('rclpy')

from act_ros.demo import video_demo
from act_ros.persons.models import MODES
from act_ros.ros.parameters import names_of
from doc import reference
from training import record

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / 'README.md').read_text(encoding='utf-8')
OPERATIONS = (ROOT / 'doc' / 'operations.md').read_text(encoding='utf-8')
DOCUMENTS = sorted(
    path for folder in ('', 'doc', 'models') for path in (ROOT / folder).glob('*.md'))
INTERFACES = [*sorted((ROOT / 'msg').glob('*.msg')), *sorted((ROOT / 'srv').glob('*.srv'))]

document = pytest.mark.parametrize('path', DOCUMENTS, ids=lambda path: path.name)


@pytest.mark.parametrize('path', ['launch/act.launch.py', 'config/act.yaml'])
def test_the_modes_are_named_where_a_pose_model_is_given(path: str) -> None:
    """Nobody guesses them."""
    text = ' '.join((ROOT / path).read_text(encoding='utf-8').replace("'", '').split())
    assert f'a mode ({", ".join(MODES)})' in text


@pytest.mark.parametrize('command', [video_demo, record])
def test_commands_name_the_modes(command: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(['--help'])
    assert f'a mode ({", ".join(MODES)})' in ' '.join(capsys.readouterr().out.split())


def test_the_parameter_file_is_fresh() -> None:
    """`python -m doc.reference` would change nothing."""
    assert (ROOT / 'config' / 'act.yaml').read_text(encoding='utf-8') == reference.config()


@pytest.mark.parametrize(('file', 'name'), reference.TABLES)
def test_the_tables_are_fresh(file: str, name: str) -> None:
    """`python -m doc.reference` would change nothing."""
    text = (ROOT / file).read_text(encoding='utf-8')
    assert reference.updated(text, name, reference.TABLES[file, name]()) == text


def test_the_parameter_file_holds_every_parameter_of_every_node() -> None:
    """It parses, and what it says is each option's default."""
    file = yaml.safe_load((ROOT / 'config' / 'act.yaml').read_text(encoding='utf-8'))
    for node in reference.NODES:
        values = file[f'/**/{node}']['ros__parameters']
        for name, item in names_of(reference.NODES[node]):
            head, _, tail = name.rpartition('.')
            value = (values[head] if head else values)[tail]
            assert value == (list(item.default) if isinstance(item.default, tuple)
                             else item.default)


def test_a_range_that_begins_above_zero_is_told() -> None:
    """0 turns it off, and what is just above it is refused."""
    assert reference.config().count('[0, or 0.01 to 1000]') == 4
    assert '| `drawing.history` | `0.0` | 0, or 1 to 600 |' in (
        ROOT / 'doc' / 'parameters.md').read_text(encoding='utf-8')


def test_no_parameter_is_declared_twice() -> None:
    """Two options of a node must not share a name."""
    for node in reference.NODES:
        names = [name for name, _ in names_of(reference.NODES[node])]
        assert len(names) == len(set(names))


def test_defaults_that_documents_tell_are_those_of_the_code() -> None:
    """Wherever one stands as "`name` (7 by default)"."""
    defaults = {(name, item.default) for groups in reference.NODES.values()
                for name, item in names_of(groups)}
    told = {(name, float(value)) for path in DOCUMENTS for name, value in re.findall(
        r'`([\w.]+)` \(([\d.]+) by default\)', path.read_text(encoding='utf-8'))}
    assert len(told) > 1 and told <= defaults


def fields_of(path: Path) -> list[str]:
    """Return type and name of each field and constant of a definition, in order."""
    lines = (line.partition('#')[0] for line in path.read_text(encoding='utf-8').splitlines())
    return [' '.join(match.groups()) for line in lines
            if (match := re.match(r'([\w/]+(?:\[\d*\])?)\s+(\w+)', line))]


def section(text: str, heading: str) -> str:
    """Return what stands below a heading of the second level, up to the next one."""
    _, _, rest = text.partition(f'\n## {heading}\n')
    return rest.partition('\n## ')[0]


def explained(text: str) -> list[str]:
    """Return type and name of the fields that a table explains, in order."""
    return [' '.join(row.split(' = ')[0].split()) for row in re.findall(
        r'^\| `([\w/]+(?:\[\d*\])? \w+(?: = \S+)?)` \| \S.* \|$', text, re.MULTILINE)]


@pytest.mark.parametrize('path', INTERFACES, ids=lambda path: path.stem)
def test_every_field_is_explained_in_the_section_of_its_message(path: Path) -> None:
    """In order, with type and meaning; and nothing else is."""
    text = section((ROOT / 'doc' / 'messages.md').read_text(encoding='utf-8'),
                   f'act_ros/{path.stem}')
    assert fields_of(path) and explained(text) == fields_of(path)


@pytest.mark.parametrize('path', INTERFACES, ids=lambda path: path.stem)
def test_a_missing_field_is_noticed(path: Path) -> None:
    """The test above can fail: for each row that is left out, and for a whole section."""
    text = (ROOT / 'doc' / 'messages.md').read_text(encoding='utf-8')
    heading = f'act_ros/{path.stem}'
    part = section(text, heading)
    for field in fields_of(path):
        rows = [row for row in part.splitlines() if not row.startswith(f'| `{field}')]
        shortened = text.replace(part, '\n'.join(rows))
        assert field not in explained(section(shortened, heading))
    assert explained(section(text.replace(f'\n## {heading}\n{part}', ''), heading)) == []


def test_the_readme_explains_the_message_that_robots_read() -> None:
    """Field by field."""
    table = README.partition('<!-- action: begin -->')[2].partition('<!-- action: end -->')[0]
    assert explained(table) == fields_of(ROOT / 'msg' / 'Action.msg')


def test_the_readme_is_short() -> None:
    """Whoever wants more follows a link."""
    assert len(README.splitlines()) <= 200


def launch_arguments() -> list[str]:
    """Return the names of the launch file's arguments, in order."""
    text = (ROOT / 'launch' / 'act.launch.py').read_text(encoding='utf-8')
    return re.findall(r"DeclareLaunchArgument\(\s*'(\w+)'", text)


def test_every_launch_argument_is_explained() -> None:
    """And nothing that is not there."""
    table = OPERATIONS.partition('| launch argument |')[2].partition('\n\n')[0]
    assert re.findall(r'^\| `(\w+)`', table, re.MULTILINE) == launch_arguments()


@document
def test_launch_arguments_exist(path: Path) -> None:
    """Those of each `ros2 launch act_ros`, and those in code spans."""
    text = path.read_text(encoding='utf-8').replace('\\\n', ' ')
    used = {name for line in re.findall(r'ros2 launch act_ros (?:act|replay)\.launch\.py(.*)', text)
            for name in re.findall(r'(\w+):=', line)}
    used |= set(re.findall(r'`(\w+):=[^`\s]*`', text))
    assert used <= set(launch_arguments())


def test_the_readme_names_every_node() -> None:
    """Each executable that is a node has its row."""
    cmake = (ROOT / 'CMakeLists.txt').read_text(encoding='utf-8')
    made = re.search(r'foreach\(node ([^)]*)\)', cmake)
    assert made
    table = README.partition('| node | subscribes |')[2].partition('\n\n')[0]
    assert set(re.findall(r'^\| `(\w+)`', table, re.MULTILINE)) == (
        set(made[1].split()) - {'evaluate_bag'})


def test_every_benchmark_is_named() -> None:
    """Each script in benchmarks/ has its row."""
    scripts = {p.stem for p in (ROOT / 'benchmarks').glob('*.py')} - {'__init__', 'report'}
    text = (ROOT / 'doc' / 'benchmark.md').read_text(encoding='utf-8')
    table = text.partition('| name | what it measures |')[2].partition('\n\n')[0]
    assert set(re.findall(r'^\| `(\w+)`', table, re.MULTILINE)) == scripts


@document
def test_links_lead_somewhere(path: Path) -> None:
    """Files are there, and headings that are linked to."""
    for link in re.findall(r'\]\(([^)\s]+)\)', path.read_text(encoding='utf-8')):
        if re.match(r'\w+:', link):
            continue
        file, _, anchor = link.partition('#')
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), link
        if anchor:
            headings = re.findall(r'^#+ (.*)$', target.read_text(encoding='utf-8'), re.MULTILINE)
            assert anchor in {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-')
                              for heading in headings}, link


@document
def test_paths_modules_and_executables_exist(path: Path) -> None:
    """What a document names in the repository is there, and can be run."""
    text = path.read_text(encoding='utf-8')
    roots = '|'.join(('act_ros', 'training', 'benchmarks', 'config', 'launch', 'msg', 'srv', 'test',
                      'models', 'media', 'examples', 'docker', 'doc'))
    for name in re.findall(rf'(?<![\w/.~$])((?:{roots})/[\w./-]+)', text):
        if not name.startswith(('act_ros/msg/', 'act_ros/srv/')) and not re.match(
                rf'act_ros/(?:{"|".join(item.stem for item in INTERFACES)})\b', name):
            assert (ROOT / name.rstrip('.')).exists() or name.startswith('models/gestures'), name
    for module in re.findall(r'python3? -m ((?:act_ros|training|benchmarks|doc)[\w.]*)', text):
        assert find_spec(module.rstrip('.')), module
    cmake = (ROOT / 'CMakeLists.txt').read_text(encoding='utf-8')
    for executable in re.findall(r'ros2 run act_ros (\w+)', text):
        assert re.search(rf'\b{executable}\b', cmake), executable
