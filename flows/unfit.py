"""Settings that ask of own data what it has not: refused before anything is trained."""

from collections.abc import Sequence

from fpt_model.config import Setting
from tasks.settings import text_of
from tasks.trainings import Training
from warehouse.described import rules_of
from warehouse.errors import RefusedError
from warehouse.home import Home
from warehouse.preparing import names_genres


def refuse_unfit(place: Home, wanted: Sequence[Training]) -> None:
    """Refuse trainings that learn from ratings or genres that nobody gave, or leave too much out.

    Raises:
        RefusedError: so, with the settings that fit.
    """
    for load_id in dict.fromkeys(one.snapshot.load_id for one in wanted):
        rules = rules_of(place, load_id)
        ours = [one.config.to_dict() for one in wanted if one.snapshot.load_id == load_id]
        if not rules.rated:
            _refuse(ours, "rating_width", 0, "There are no ratings to learn from")
        if rules.comes_again:
            what = 'With `repeats = "all"`, items that a user has had must stay candidates'
            _refuse(ours, "exclude_seen", False, what)
    for one in wanted:
        ours = [one.config.to_dict()]
        if ours[0].get("genre_width") and not names_genres(one.snapshot.sequences):
            _refuse(ours, "genre_width", 0, "There are no genres to learn from")


def _refuse(asked: Sequence[dict[str, Setting]], name: str, fitting: Setting, what: str) -> None:
    for settings in asked:
        if settings.get(name, fitting) != fitting:
            raise RefusedError(
                what,
                got=f"{name}={text_of(settings[name])}",
                expected=f"{name}={text_of(fitting)}",
                to_do=f"Add `--set {name}={text_of(fitting)}`, or take another preset",
            )
