SELECT reason, count(*) AS n FROM own_events WHERE reason IS NOT NULL GROUP BY reason ORDER BY n DESC, reason LIMIT 20
