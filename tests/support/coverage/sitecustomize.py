"""Measures a program whose environment has no coverage of its own, with that of the tests: Program (support/processes.py) puts this folder into PYTHONPATH.

Python imports it before anything else. Nothing happens unless pytest measures coverage (`--cov`).
"""

import os
import sys

if "COVERAGE_PROCESS_CONFIG" in os.environ and "EDGEFL_COVERAGE" in os.environ:
    # For this import alone: what the program lacks must not be found among the tests' packages
    sys.path.append(os.environ["EDGEFL_COVERAGE"])
    import coverage

    sys.path.remove(os.environ["EDGEFL_COVERAGE"])
    coverage.process_startup()
