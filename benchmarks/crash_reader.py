"""Read what is published, over and over, while others publish and die: is it ever torn?

A JSON line on stdin begins: the home, and a pattern of what readers may meet of damage that was put
there on purpose, until it is mended. An empty line ends it; then a JSON line says how often it was
read, and everything that did not fit together. The last look comes after that empty line, when only
what the pattern `left` says may be wrong still.
"""

import json
import re
import select
import sys
from pathlib import Path

import duckdb

# One question, so that all of it is of one publication.
TORN = """
WITH counted AS (
    SELECT 'raw.ratings' AS table_name, load_id AS id, count(*) AS n FROM raw.ratings GROUP BY ALL
    UNION ALL SELECT 'raw.items', load_id, count(*) FROM raw.items GROUP BY ALL
    UNION ALL SELECT 'core.interactions', snapshot_id, count(*) FROM core.interactions GROUP BY ALL
    UNION ALL SELECT 'core.users', snapshot_id, count(*) FROM core.users GROUP BY ALL
    UNION ALL SELECT 'core.items', snapshot_id, count(*) FROM core.items GROUP BY ALL
    UNION ALL SELECT 'mart.user_ranks', run_id, count(*) FROM mart.user_ranks GROUP BY ALL
),
stated AS (
    SELECT 'raw.ratings' AS table_name, load_id AS id, n_ratings AS n FROM raw.loads
    UNION ALL SELECT 'raw.items', load_id, n_items FROM raw.loads
    UNION ALL SELECT 'core.interactions', snapshot_id, n_interactions FROM core.snapshots
    UNION ALL SELECT 'core.users', snapshot_id, n_users FROM core.snapshots
    UNION ALL SELECT 'core.items', snapshot_id, n_items FROM core.snapshots
    UNION ALL SELECT table_name, id, rows FROM mart.files
        WHERE table_name IN (SELECT DISTINCT table_name FROM counted)
    UNION ALL SELECT 'mart.user_ranks', run_id, 4 * n_users
        FROM mart.training_runs JOIN core.snapshots USING (snapshot_id)
),
figures AS (
    SELECT
        run_id, split, protocol, count(*) AS n_users,
        avg((rank <= 10)::INTEGER) AS recall,
        avg(CASE WHEN rank <= 10 THEN 1 / log2(rank + 1) ELSE 0 END) AS ndcg
    FROM mart.user_ranks GROUP BY ALL
)
SELECT 'count of ' || table_name || ' of ' || id || ': ' || s.n || ', there ' || coalesce(c.n, 0)
FROM stated AS s LEFT JOIN counted AS c USING (table_name, id)
WHERE s.n IS DISTINCT FROM coalesce(c.n, 0)
UNION ALL SELECT 'unstated ' || table_name || ' of ' || id
FROM counted ANTI JOIN stated USING (table_name, id)
UNION ALL SELECT 'metrics of ' || run_id || ' ' || split || ' ' || protocol
FROM figures AS f FULL JOIN (FROM mart.metrics WHERE k = 10) AS m USING (run_id, split, protocol)
WHERE f.n_users IS DISTINCT FROM m.n_users
    OR abs(f.recall - m.recall) > 1e-9 OR abs(f.ndcg - m.ndcg) > 1e-7
UNION ALL SELECT 'metrics of ' || run_id || ' are ' || count(m.k)
FROM mart.training_runs LEFT JOIN mart.metrics AS m USING (run_id)
GROUP BY run_id HAVING count(m.k) <> 16
UNION ALL SELECT 'epochs of ' || run_id FROM mart.training_runs LEFT JOIN mart.epochs USING (run_id)
GROUP BY run_id, best_epoch
HAVING count(epoch) <> max(epoch) OR max(epoch) < best_epoch OR count(epoch) = 0
UNION ALL SELECT 'run without a snapshot: ' || run_id
FROM mart.training_runs ANTI JOIN core.snapshots USING (snapshot_id)
UNION ALL SELECT 'snapshot without a load: ' || snapshot_id
FROM core.snapshots ANTI JOIN raw.loads USING (load_id)
UNION ALL SELECT 'load without a passed audit: ' || load_id
FROM raw.loads ANTI JOIN (FROM mart.validation_results WHERE success) USING (load_id)
UNION ALL SELECT 'snapshot without a passed audit: ' || snapshot_id
FROM core.snapshots ANTI JOIN (FROM mart.validation_results WHERE success) USING (snapshot_id)
"""


def main() -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        home = Path(asked["home"])
        damage, left = (re.compile(asked[name] or "(?!)") for name in ("damage", "left"))
        reads, torn, newest, last = 0, set(), 0, False
        while not last:
            last = bool(select.select([sys.stdin], [], [], 0.1)[0])
            found = look(home)
            if found is None and newest:
                torn.add("what was published is gone")
            if found is not None:
                reads += 1
                said = [*found[1]]
                if found[0] < newest:
                    said.append(f"publication {found[0]} after {newest}")
                torn.update(one for one in said if not (left if last else damage).search(one))
                newest = found[0] or newest
        sys.stdin.readline()
        print(json.dumps({"reads": reads, "torn": sorted(torn)}), flush=True)


def look(home: Path) -> tuple[int, list[str]] | None:
    """The number of the publication and what is torn in it; None where none is yet."""
    path = home / "published.duckdb"
    if not path.exists():
        return None
    opened = path.stat().st_ino
    try:
        with duckdb.connect(str(path), read_only=True) as connection:
            ((number,),) = connection.execute("SELECT publication FROM mart.catalogue").fetchall()
            return int(number), [text for (text,) in connection.execute(TORN).fetchall()]
    except duckdb.IOException as error:
        if str(home / "store") in str(error) and _is_withdrawn(path, opened):
            return look(home)  # as people do who are told so
        return 0, [f"not read: {str(error).splitlines()[0]}"]
    except duckdb.Error as error:
        return 0, [f"not read: {str(error).splitlines()[0]}"]


def _is_withdrawn(path: Path, opened: int) -> bool:
    """Whether a person was forgotten since this copy was opened: then its files go at once."""
    if path.stat().st_ino == opened:
        return False
    with duckdb.connect(str(path), read_only=True) as connection:
        return bool(connection.execute("FROM raw.forgotten").fetchall())


if __name__ == "__main__":
    main()
