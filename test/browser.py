"""A real browser, to look at what we write as its readers do."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

CHROMIUM = next(filter(None, map(shutil.which, (
    'chromium', 'chromium-browser', 'google-chrome'))), None)


def show(page: str, profile: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Open an address in the browser; its standard output is the page as scripts have left it."""
    assert CHROMIUM
    return subprocess.run(
        [CHROMIUM, '--headless', '--no-sandbox', '--disable-gpu', '--no-first-run',
         '--disable-background-networking', '--disable-component-update', '--disable-sync',
         f'--user-data-dir={profile}', '--window-size=1200,1600', '--enable-logging=stderr',
         *options, '--dump-dom', page],
        capture_output=True, text=True, timeout=120)
