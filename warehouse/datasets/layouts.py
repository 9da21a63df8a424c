"""The three layouts that GroupLens has used, each line reader strict about its own."""

import csv

from warehouse.datasets.dataset import Layout, Row
from warehouse.raw_ids import read_id

NO_GENRES = "(no genres listed)"
GENRES_100K = [
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
]


def _fields(line: str, separator: str, count: int) -> list[str]:
    fields = line.split(separator)
    if len(fields) != count:
        raise ValueError(f"{len(fields)} fields instead of {count}")
    return fields


def _filled(text: str, what: str) -> str:
    if not text.strip():
        raise ValueError(f"{what} is missing")
    return text


def _item(item: str, title: str, genres: str) -> Row:
    return read_id(item, "movie"), _filled(title, "title"), genres


def _user(user: str, gender: str, age: str, occupation: str) -> Row:
    number = read_id(user, "user")
    _filled(gender, "gender")
    if not (age.isascii() and age.isdigit() and len(age) <= 3):
        raise ValueError("age is not a whole number of years")
    return number, gender, age, _filled(occupation, "occupation")


def _double_colon_item(line: str) -> Row:
    if ":::" in line:
        raise ValueError("':::' can be read in two ways")
    item, title, genres = _fields(line, "::", 3)
    return _item(item, title, genres)


def _double_colon_user(line: str) -> Row:
    if ":::" in line:
        raise ValueError("':::' can be read in two ways")
    user, gender, age, occupation, _ = _fields(line, "::", 5)
    return _user(user, gender, age, occupation)


def _pipe_item(line: str) -> Row:
    item, title, _, _, _, *flags = _fields(line, "|", 5 + len(GENRES_100K))
    if not {"0", "1"}.issuperset(flags):
        raise ValueError("a genre's flag is neither 0 nor 1")
    genres = [name for name, flag in zip(GENRES_100K, flags, strict=True) if flag == "1"]
    return _item(item, title, "|".join(genres))


def _pipe_user(line: str) -> Row:
    user, age, gender, occupation, _ = _fields(line, "|", 5)
    return _user(user, gender, age, occupation)


def _csv_item(line: str) -> Row:
    fields = next(csv.reader([line], strict=True))
    if len(fields) != 3:
        raise ValueError(f"{len(fields)} fields instead of 3")
    item, title, genres = fields
    return _item(item, title, "" if genres == NO_GENRES else genres)


DOUBLE_COLON = Layout(
    ratings="ratings.dat",
    separator="::",
    header=None,
    items="movies.dat",
    items_header=None,
    users="users.dat",
    encoding="latin-1",
    read_items=_double_colon_item,
    read_users=_double_colon_user,
)
TABS = Layout(
    ratings="u.data",
    separator="\t",
    header=None,
    items="u.item",
    items_header=None,
    users="u.user",
    encoding="latin-1",
    read_items=_pipe_item,
    read_users=_pipe_user,
    items_end_whole=True,  # their last field is one digit: a cut line never has it
)
CSV = Layout(
    ratings="ratings.csv",
    separator=",",
    header="userId,movieId,rating,timestamp",
    items="movies.csv",
    items_header="movieId,title,genres",
    users=None,
    encoding="utf-8",
    read_items=_csv_item,
    read_users=None,
)
