-- staged: the database of one load that has passed its audit
INSERT OR REPLACE INTO raw.loads BY NAME
SELECT * REPLACE ((SELECT publication FROM mart.catalogue) AS publication) FROM staged.raw.loads;
INSERT OR REPLACE INTO raw.descriptions FROM staged.raw.descriptions
