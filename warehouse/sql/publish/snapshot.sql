-- staged: the database of one snapshot that has passed its audit
INSERT OR REPLACE INTO core.snapshots BY NAME
SELECT * REPLACE ((SELECT publication FROM mart.catalogue) AS publication) FROM staged.core.snapshots
