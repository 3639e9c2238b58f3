"""Prints public docstrings drawn at random, to be read without the code.

python -m tests.docstrings [SEED]
"""

import ast
import random
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / 'genjax'


def docstrings() -> list[tuple[str, str]]:
    """Returns the place and the text of each public docstring, in order."""
    found = []
    for path in sorted(PACKAGE.rglob('*.py')):
        tree = ast.parse(path.read_text('utf-8'))
        for node in ast.walk(tree):
            if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                continue
            name = getattr(node, 'name', '')
            if (text := ast.get_docstring(node)) and not name.startswith('_'):
                found.append((f'{path.relative_to(PACKAGE.parent)}:{name}', text))
    return found


if __name__ == '__main__':
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    for place, text in random.Random(seed).sample(docstrings(), 40):
        print(f'== {place}\n{text}\n')
