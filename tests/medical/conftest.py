"""Commands as `tests/cli` runs them."""

from tests.cli.conftest import folder as folder
from tests.cli.conftest import run as run
