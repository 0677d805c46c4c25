"""What modes that change the meaning of torch's operators have in common."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

without_modes = torch._C._DisableTorchDispatch
"""Where torch's operators mean what they do outside of all modes."""


class DispatchMode(TorchDispatchMode):
    """A mode whose first use does not import torch.compile."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False: what keeps torch.compile out of this class would import it."""
        return False
