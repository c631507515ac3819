"""Measured set-ups as engines: a model on GPUs under an engine, by the words that tools and files of points use."""

import re
from dataclasses import dataclass

from planner.capacity.number_formats import check_weights
from planner.catalogue.read import built_in, engine_node, engine_profile, model, names
from planner.core.fleet.engine import Engine
from planner.errors import PlannerError, UsageError
from planner.settings.closed import CacheDtype, WeightDtype
from planner.settings.engines import EngineProfile
from planner.settings.models import Model

BUFFERS_GB = 2.0
"""Activations, graphs and buffers inside the share of memory that an engine takes, per GPU. Assumed."""
PAGE_TOKENS = 16
"""Of a KV page; the default of vLLM."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """One serving system as a file of points describes it. None: not told."""

    model: str
    gpu: str
    backend: str | None
    backend_version: str | None = None
    weights: WeightDtype | None = None
    kv: CacheDtype | None = None
    gpus: int | None = None
    tensor_parallel: int | None = None
    data_parallel: int | None = None
    expert_parallel: int | None = None
    expert_tensor: int | None = None

    @property
    def server_gpus(self) -> int:
        """GPUs of the whole server, as far as told."""
        return self.gpus or (self.tensor_parallel or 1) * (self.data_parallel or 1)


def engine_of(setup: Setup) -> tuple[Engine, int]:
    """The engine of a set-up, and the GPUs of its server. Raises UsageError that says what cannot be expressed."""
    served, node = model(setup.model), engine_node(gpu_name(setup.gpu))
    profile = engine_profile(engine_name(setup.backend, setup.backend_version))
    gpus = setup.server_gpus
    tensor = setup.tensor_parallel or gpus // (setup.data_parallel or 1)
    if tensor < 1 or gpus % tensor:
        raise UsageError(f"{gpus} GPUs are not a whole number of groups of TP{tensor}; correct n_gpus or tp")
    weights = setup.weights or served.weight_dtype
    check_weights(served, node, weights)
    parallel, split = _experts(setup, served, profile, gpus, tensor)
    try:
        engine = Engine(
            model=served,
            hardware=node,
            weights=weights,
            profile=profile,
            kv=setup.kv or "bf16",
            expert_parallel=parallel,
            expert_tensor=split,
            redundant_experts=0,
            tensor_parallel=tensor,
            reserve_gb=profile.limits.left_gb(node.memory_gb) + BUFFERS_GB,
            block_tokens=PAGE_TOKENS,
        )
        _ = engine.kv_gb, engine.speeds
    except PlannerError as error:
        raise UsageError(str(error)) from error
    return engine, gpus


def _experts(setup: Setup, served: Model, profile: EngineProfile, gpus: int, tensor: int) -> tuple[int, int]:
    """Groups of GPUs that share a copy of the experts, and the GPUs of each: all of a server's, however split."""
    if served.experts is None:
        return 1, 1
    parallel, split = setup.expert_parallel, setup.expert_tensor
    if parallel is None and split is None:
        split = tensor if profile.limits.expert_split == "tensor" else 1
    if parallel is None:
        parallel = gpus // (split or 1)
    # files often leave one of the two at 1 although experts are spread over the whole server
    return parallel, max(gpus // parallel, 1)


def engine_name(backend: str | None, version: str | None = None) -> str:
    """The catalogue's name of an engine by what tools call it. Raises UsageError."""
    word = re.sub(r"[^a-z0-9]", "", (backend or "").casefold())
    own = built_in("engines", backend or "")
    if own is not None:
        return own
    if "trt" in word or "tensorrt" in word:
        return "tensorrt-llm"
    if "sglang" in word:
        return "sglang"
    if "vllm" in word:
        return "vllm-0.2" if "2023" in word or re.match(r"0\.[0-4](\D|$)", version or "") else "vllm"
    known = ", ".join(names("engines"))
    raise UsageError(f'no engine "{backend or ""}"; the catalogue has {known}')


def gpu_name(name: str) -> str:
    """The catalogue's name of a GPU by what tools call it: letters and digits alone are compared.

    A name that is like none is given back as it is.
    """
    if built_in("hardware", name) is not None:
        return name
    wanted = _letters(name)
    alike = {_letters(own): own for own in names("hardware")}
    for prefix in ("nvidia", "amd", "instinct", "geforce"):
        wanted = wanted.removeprefix(prefix)
    if wanted in alike:
        return alike[wanted]
    # "H100 80GB HBM3", "H200 SXM": the longest own name that it begins with
    starts = sorted((own for own in alike if wanted.startswith(own)), key=len)
    if starts:
        return alike[starts[-1]]
    return name


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())
