"""`python job_service.py WORKERS --job_port PORT`: Beam's local job service, but with that many workers a job instead of one."""

import sys
from typing import Any

from apache_beam.runners.portability import local_job_service, local_job_service_main
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner


class SpreadRunner(FnApiRunner):
    workers = 1

    def __init__(self, **named: Any) -> None:
        super().__init__(**named)
        self._num_workers = self.workers


if __name__ == "__main__":
    SpreadRunner.workers = int(sys.argv[1])
    local_job_service.fn_runner.FnApiRunner = SpreadRunner  # type: ignore[misc]
    local_job_service_main.run(sys.argv[2:])
