-- Nodes lent to training, in the order in which they came free.
CREATE OR REPLACE VIEW training_windows AS
SELECT
    run_id,
    window_start,
    window_end,
    nodes,
    (restoring_node_s + training_node_s) / 3600 AS training_node_hours,
    training_node_s / 3600 AS useful_training_node_hours
FROM training_window
ORDER BY run_id, window_start, window_end;
