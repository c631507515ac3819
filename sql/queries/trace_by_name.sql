-- The trace with a given name.
-- @param name  name of the trace
SELECT * FROM trace WHERE name = $name;
