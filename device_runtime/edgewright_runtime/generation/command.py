"""What ``run --text`` does where the model's task is to generate or to translate."""

from argparse import Namespace
from typing import TYPE_CHECKING, Any, Optional

from ..bundle import Bundle
from ..engines import Engine
from ..task import Task, make_task

if TYPE_CHECKING:
    from .generate import Tell
    from .prompts import Prompts

OPTIONS = ("max_tokens", "temperature", "top_k", "top_p", "stop", "beams", "length_penalty")


def say(bundle: Bundle, engine: Engine, task: Task, arguments: Namespace, tell: "Tell") -> dict[str, Any]:
    """The answer as ``generate`` or ``translate`` gives it. What is asked goes before what the task says.

    Raises InputError for an option that the task does not have.
    """
    asked = {name: getattr(arguments, name) for name in OPTIONS if getattr(arguments, name) not in (None, [])}
    options = make_task(task.kind, {**task.options, **asked}).options
    if task.kind == "translate":
        from ..model import load_encoder
        from .translate import Search, translate

        with load_encoder(bundle, engine.name, arguments.threads) as encoder:
            return translate(bundle, engine, encoder, arguments.text, Search(**options), tell)
    from .generate import Limits, generate
    from .sampling import Sampling

    limits = Limits(**{name: options.pop(name) for name in Limits._fields if name in options})
    sampling = Sampling(**options, seed=arguments.seed)
    return generate(bundle, engine, arguments.text, sampling, limits, tell, _prompts(bundle, engine, arguments))


def _prompts(bundle: Bundle, engine: Engine, arguments: Namespace) -> "Optional[Prompts]":
    if arguments.prompt_cache is None:
        return None
    from .prompts import Prompts

    return Prompts(arguments.prompt_cache, f"{bundle.id} {engine.name} {engine.version}")
