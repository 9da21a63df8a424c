-- staged: the database of one load that has passed its audit
INSERT INTO raw.loads BY NAME FROM staged.raw.loads;
INSERT INTO raw.ratings BY NAME FROM staged.raw.ratings;
INSERT INTO raw.items BY NAME FROM staged.raw.items;
INSERT INTO raw.users BY NAME FROM staged.raw.users;
INSERT INTO raw.rejects BY NAME FROM staged.raw.rejects;
