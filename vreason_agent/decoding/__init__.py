"""V-Reason decoding for transformers' Qwen-VL models: a loop, its configuration and its trace.

`decode` runs the loop on prepared tensors; `vreason_generate` runs it inside `hf_model.generate`. The package knows
torch and transformers' cache and generation classes, but no model class and no processor; a tokenizer is only
passed on to transformers' stop strings.
"""

from vreason_agent.decoding.config import Schedule, VReasonConfig
from vreason_agent.decoding.decode import decode
from vreason_agent.decoding.entropy import distribution, normalized_entropy
from vreason_agent.decoding.generate import vreason_generate
from vreason_agent.decoding.loop import DecodeResult
from vreason_agent.decoding.phase import Phase, Switch
from vreason_agent.decoding.trace import DecodingSeconds, DecodingTrace, StepRecord

__all__ = [
    "DecodeResult",
    "DecodingSeconds",
    "DecodingTrace",
    "Phase",
    "Schedule",
    "StepRecord",
    "Switch",
    "VReasonConfig",
    "decode",
    "distribution",
    "normalized_entropy",
    "vreason_generate",
]
