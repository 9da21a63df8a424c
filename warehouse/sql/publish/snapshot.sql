-- staged: the database of one snapshot that has passed its audit
INSERT INTO core.snapshots BY NAME FROM staged.core.snapshots;
INSERT INTO core.interactions BY NAME FROM staged.core.interactions;
INSERT INTO core.items BY NAME FROM staged.core.items;
INSERT INTO core.users BY NAME FROM staged.core.users;
INSERT INTO core.candidates BY NAME FROM staged.core.candidates;
