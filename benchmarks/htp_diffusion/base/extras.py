"""What the scripts need installed; each imports this first, so that what is missing is told in one line."""

import sys
from importlib.util import find_spec

PACKAGES = {
    "adapters": "htp-modules",
    "htp_modules": "htp-modules",
    "torch": "torch",
    "jaxtyping": "jaxtyping",
    # of the extra bench
    "accelerate": "accelerate",
    "einops": "einops",
    "matplotlib": "matplotlib",
    "numpy": "numpy",
    "PIL": "pillow",
    "rich": "rich",
    "safetensors": "safetensors",
    "thop": "thop",
    "tyro": "tyro",
}
"""By the name that is imported, the name that pip knows."""

_missing = dict.fromkeys(name for module, name in PACKAGES.items() if find_spec(module) is None)
if _missing:
    print(
        f'error: not installed: {", ".join(_missing)}; in the project\'s folder: pip install -e ".[bench]"',
        file=sys.stderr,
    )
    raise SystemExit(2)
