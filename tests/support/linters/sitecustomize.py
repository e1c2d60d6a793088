"""In PYTHONPATH of a linter, which ends within two minutes: nothing is looked through for garbage, a fifth of ansible-lint's processor time."""

import gc

gc.disable()
