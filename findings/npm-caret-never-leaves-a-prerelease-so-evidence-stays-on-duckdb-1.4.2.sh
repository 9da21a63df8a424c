#!/usr/bin/env bash
# A caret before a prerelease: npm installs DuckDB 1.4.2 though there is 1.5.6.
#
# Versions: @evidence-dev/duckdb 2.0.1 with @duckdb/node-api, npm 11, duckdb 2.0.0 of PyPI.
# Guess:    "^1.4.2-r.1" takes 1.5.x when there is one: a fresh install has a current DuckDB.
# What is:  Every release of @duckdb/node-api is named as a prerelease (1.5.6-r.1). A range with one
#           takes prereleases of that very version alone, so a caret stays at 1.4.2 for ever, and
#           `npm update` finds nothing. That DuckDB can't open a file as DuckDB 2.0 writes it.
# Seen:     node-api 1.4.2-r.1; by default refused, with storage_compatibility_version v1.4.0 read
# Matters:  Evidence's newest connector reads no database of a current DuckDB, unless whoever writes
#           it names an old storage version. So do all packages that depend on node-api by a caret.
# Needs:    npm
# Source:   run here; semver's own text on prereleases says it, for ranges of one version.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init --yes >/dev/null
npm install --no-audit --no-fund --silent @evidence-dev/duckdb@2.0.1 >/dev/null
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check "duckdb==2.0.0" 2>/dev/null
python/bin/python - <<'EOF'
import duckdb
for name, config in {"new": {}, "old": {"storage_compatibility_version": "v1.4.0"}}.items():
    with duckdb.connect(f"{name}.duckdb", config=config) as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS a")
EOF
cat >read.cjs <<'EOF'
const { DuckDBInstance } = require('@duckdb/node-api');
const version = require('@duckdb/node-api/package.json').version;
(async () => {
  const seen = [`node-api ${version}`];
  for (const name of ['new', 'old']) {
    try {
      const db = await DuckDBInstance.create(`${name}.duckdb`, { access_mode: 'READ_ONLY' });
      await (await db.connect()).runAndReadAll('SELECT a FROM t');
      seen.push(`${name} read`);
    } catch (error) {
      seen.push(`${name} refused`);
    }
  }
  console.log(seen.join('; '));
})();
EOF
seen=$(node read.cjs)
echo "$seen"
test "$seen" = "node-api 1.4.2-r.1; new refused; old read"
echo "as described"
