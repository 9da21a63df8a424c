-- one suspicion of one training
INSERT INTO mart.run_warnings BY NAME
SELECT
    $run_id AS run_id, $name AS name, $split AS split, $protocol AS protocol, $k::INTEGER AS k,
    $seen AS seen, $audit_id AS audit_id, $found_at::TIMESTAMP AS found_at,
    $accepted_at::TIMESTAMP AS accepted_at
