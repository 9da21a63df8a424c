-- Lines of archives that could not be taken, by reason, with one example each.
SELECT dataset, member, reason, count(*) AS lines, min(source_row) AS first_line, arg_min(line, source_row) AS example
FROM raw.rejects
JOIN raw.loads USING (load_id)
GROUP BY dataset, load_id, member, reason
ORDER BY lines DESC, dataset, load_id, member, reason
