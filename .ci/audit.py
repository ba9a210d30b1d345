"""
Ask pip-audit about every package that the environment holds for us: ``make audit``.

The wheels of ROS are left out: their vulnerabilities are told by ROS, not by PyPI. Ends with 1
where something is vulnerable, and with 2 where nothing could be learned, as without a network: an
audit that looked at nothing must not pass.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
import setup as packaging  # noqa: E402

# What we live with, and why.
EXCEPTIONS = {
    'CVE-2023-48022': 'Ray runs whatever its job port is told, by design: keep the cluster that '
                      '--ray names in a network of its own. The robot has no Ray.',
}


def installed() -> dict[str, str]:
    """Return name and version of what is required, directly or not, and installed."""
    extras = [name for name in packaging.EXTRAS if name not in ('ros', 'build')]
    wanted = [*packaging.requirements(*extras), 'pip', 'setuptools', 'wheel']
    found: dict[str, str] = {}
    while wanted:
        requirement = wanted.pop()
        if 'extra ==' in requirement:
            continue
        name = re.split(r'[^\w.-]', requirement, maxsplit=1)[0].lower().replace('_', '-')
        if name in found or name.startswith('ros-'):
            continue
        try:
            package = distribution(name)
        except PackageNotFoundError:  # for another system, or an extra that is not installed
            continue
        found[name] = package.version
        wanted += package.requires or []
    return found


def main() -> int:
    """Run the audit and return the exit status."""
    packages = installed()
    with TemporaryDirectory() as folder:
        pins, report = Path(folder, 'pins.txt'), Path(folder, 'report.json')
        pins.write_text(''.join(f'{name}=={version}\n' for name, version in packages.items()))
        result = subprocess.run([
            sys.argv[1], '--requirement', str(pins), '--no-deps', '--disable-pip',
            '--format', 'json', '--output', str(report), '--progress-spinner', 'off',
            *(word for name in EXCEPTIONS for word in ('--ignore-vuln', name))],
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if not report.is_file():
            print(result.stdout[-2000:])
            return 2
        entries = json.loads(report.read_text())['dependencies']
    vulnerable = [entry for entry in entries if entry.get('vulns')]
    unknown = [entry['name'] for entry in entries if 'skip_reason' in entry]
    for entry in vulnerable:
        for problem in entry['vulns']:
            fixed = ', '.join(problem['fix_versions']) or 'no version'
            print(f'{entry["name"]} {entry["version"]}: {problem["id"]}, fixed in {fixed}')
    if unknown:
        print(f'nothing is known about {len(unknown)} of {len(packages)} packages '
              f'({", ".join(unknown[:5])}, ...): does the package index tell vulnerabilities?')
    print(f'{len(entries) - len(unknown)} packages audited, {len(vulnerable)} vulnerable; '
          f'exceptions: {", ".join(EXCEPTIONS)}')
    return 1 if vulnerable else 2 if unknown else 0


if __name__ == '__main__':
    sys.exit(main())
