-- Stored comparisons of policies, newest first; within each, the cheapest at equal shortfall first.
-- @public
SELECT *
FROM policy_comparison
ORDER BY created_at DESC, comparison_id DESC, level_node_hours NULLS LAST, policy;
