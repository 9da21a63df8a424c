-- Imported models that have lost their ranks: nothing of ours can make them again.
SELECT name, file
FROM mart.imports
WHERE run_id NOT IN (SELECT id FROM mart.files WHERE table_name = 'mart.user_ranks')
ORDER BY ALL
