INSERT OR REPLACE INTO mart.imports
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, publication, $16
FROM mart.catalogue
