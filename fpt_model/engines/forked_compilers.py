"""What the server that forks compilers does once for all of them: only there it is imported."""

import fpt_model.engines.jagged.training
import fpt_model.engines.multiseed.training  # noqa: F401 - their kernels
from fpt_model.engines.compile_aside import hash_triton

hash_triton()
