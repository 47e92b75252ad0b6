"""Why a pass must not come after another, in words: what a recipe's order is refused with."""

_WHY = {
    "quantize": "after it there is no Keras model any more",
    "distill": "it trains a new model, and what was done to the old one would be lost",
    "prune-structured": "it takes parts out of the layers, which no longer are what it knows",
    "factorize": "the products it makes have neither the zeros nor the shared values nor the scales found before",
    "lora": "its merged matrices would fill the zeros and part the shared values that were made before",
    "finetune": "it would train away the zeros, the shared values or the scales that were found before",
    "prune": "its zeros would have no place among the values and scales that were found before",
    "cluster": "its shared values would not be those of the scales that were found before",
    "qat": "it learns the scales of the model as it will be, so nothing may change the model afterwards",
}


def refusal(earlier: str, later: str, followers: tuple[str, ...]) -> str:
    """The sentence for ``later`` after ``earlier``. followers: what may stand there."""
    if earlier == later:
        why = "once is enough"
    elif not followers:
        return f"Pass {later!r} cannot follow {earlier!r}: nothing can, so put it last and once."
    else:
        why = _WHY["quantize"] if earlier == "quantize" else _WHY.get(later, "the order makes no sense")
    return f"Pass {later!r} cannot follow {earlier!r}, for {why}: only {', '.join(followers)} can."
