"""Settings that ask of own data what it has not: refused before anything is trained."""

from collections.abc import Sequence

from tasks.training import Training
from warehouse.described import rules_of
from warehouse.errors import RefusedError
from warehouse.home import Home


def refuse_unfit(place: Home, wanted: Sequence[Training]) -> None:
    """Refuse trainings that would learn from ratings that nobody gave, or from too few rivals.

    Raises:
        RefusedError: so, with the settings that fit.
    """
    for load_id in dict.fromkeys(one.snapshot.load_id for one in wanted):
        rules = rules_of(place, load_id)
        ours = [one.config.to_dict() for one in wanted if one.snapshot.load_id == load_id]
        if not rules.rated and any(settings.get("rating_width") for settings in ours):
            raise _unfit("There are no ratings to learn from", "rating_width", "0")
        if rules.comes_again and any(settings.get("rivals") == "unseen" for settings in ours):
            what = 'With `repeats = "all"`, items that a user has had are rivals too'
            raise _unfit(what, "rivals", "all")


def _unfit(what: str, name: str, fitting: str) -> RefusedError:
    return RefusedError(
        what,
        got=f"settings with {name} of another kind",
        expected=f"{name}={fitting}",
        to_do=f"Add `--set {name}={fitting}`, or take another preset",
    )
