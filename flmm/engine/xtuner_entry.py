"""What `xtuner train` has to do otherwise for configs of flmm.

Under `--deepspeed` xtuner writes mmengine's `FlexibleRunner` and its own strategy into a config,
whatever that says, and keeps nothing of its `optim_wrapper` but the optimiser: factors of learning
rates and a constructor would be lost without a word. `install` changes what these names lead to and
keeps what would be lost, for configs with `default_scope = 'flmm'` only. `tools/train.py` calls it;
for `xtuner train`, which starts a Python process of its own, the import hook in
`flmm/engine/xtuner_shim` does.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from mmengine.registry import RUNNERS
from mmengine.runner import FlexibleRunner

from .latest import read_meta
from .sharded_checkpoint import is_sharded_state

#: What xtuner drops from a config's `optim_wrapper` under `--deepspeed`, and where it is kept.
_DROPPED = ('constructor', 'paramwise_cfg')
_KEPT = 'optim_wrapper_of_config'


class RunnerChoice(FlexibleRunner):
    """mmengine's `FlexibleRunner` for other configs, flmm's for its own."""

    @classmethod
    def from_cfg(cls, cfg: Any) -> FlexibleRunner:
        """Build the runner that a config needs."""
        if cfg.get('default_scope') != 'flmm':
            return FlexibleRunner.from_cfg(cfg)
        from .flexible_runner import FLMMFlexibleRunner

        if kept := cfg.pop(_KEPT, None):
            cfg.optim_wrapper.update(kept)
        return FLMMFlexibleRunner.from_cfg(cfg)


def install(tools: Any) -> None:
    """Let xtuner's script use flmm's runner, and read checkpoints safely.

    Args:
        tools: The module whose functions xtuner's script uses: `xtuner.tools.utils`, before the
            script has imported from it, or the script's module.
    """
    RUNNERS.register_module(name='FlexibleRunner', module=RunnerChoice, force=True)
    original_seed = tools.get_seed_from_checkpoint
    original_dtype = tools.auto_dtype_of_deepspeed_config
    original_resource = tools.set_model_resource
    if getattr(original_seed, 'of_flmm', False):
        return
    opened: list[Any] = []

    def set_model_resource(cfg: Any) -> None:
        # Called with the config as read, which the options of the command line then change.
        opened[:] = [cfg]
        original_resource(cfg)

    def keep_optim_wrapper() -> None:
        for cfg in opened:
            wrapper = cfg.get('optim_wrapper') or {}
            kept = {key: wrapper[key] for key in _DROPPED if wrapper.get(key) is not None}
            if kept and cfg.get('default_scope') == 'flmm':
                cfg[_KEPT] = kept

    def get_seed_from_checkpoint(path: str) -> int:
        if os.path.isfile(path) or is_sharded_state(path):
            return read_meta(path)['seed']
        return original_seed(path)

    def auto_dtype_of_deepspeed_config(config: dict) -> dict:
        # The last call before xtuner writes an optimiser's wrapper of its own.
        keep_optim_wrapper()
        if torch.cuda.is_available():
            return original_dtype(config)
        # xtuner asks a function that torch lacks without a GPU. What is not named is float32.
        for kind in ('fp16', 'bf16'):
            if config.get(kind, {}).get('enabled') == 'auto':
                config[kind]['enabled'] = False
        return config

    get_seed_from_checkpoint.of_flmm = True
    tools.set_model_resource = set_model_resource
    tools.get_seed_from_checkpoint = get_seed_from_checkpoint
    tools.auto_dtype_of_deepspeed_config = auto_dtype_of_deepspeed_config
